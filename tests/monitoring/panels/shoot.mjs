// Opens the page in Debian's Chromium, takes its picture, and says what is on it.
// usage: node shoot.mjs URL FOLDER
import { chromium } from 'playwright-core';

const [url, folder] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
try {
  const page = await browser.newPage({ viewport: { width: 1640, height: 1000 } });
  const faults = [];
  page.on('pageerror', (error) => faults.push(`the page: ${error.message}`));
  await page.goto(url);
  await page.waitForFunction(() => document.title === 'drawn', undefined, { timeout: 60_000 }).catch(() => faults.push('the page was not drawn within a minute'));
  const panels = await page.$$eval('.panel', (all) => all.map((panel) => ({
    id: panel.id, text: panel.innerText, canvases: panel.querySelectorAll('canvas').length,
  })));
  for (const panel of panels) {
    if (/no data/i.test(panel.text)) faults.push(`${panel.id} says No data`);
    if (!panel.canvases && panel.text.split('\n').length < 2) faults.push(`${panel.id} shows nothing`);
  }
  await page.screenshot({ path: `${folder}/dashboard.png`, fullPage: true });
  // And in pieces that can be looked at.
  const height = await page.evaluate(() => document.body.scrollHeight);
  for (let top = 0, number = 1; top < height; top += 1000, number += 1) {
    await page.screenshot({ path: `${folder}/dashboard-${number}.png`, fullPage: true, clip: { x: 0, y: top, width: 1640, height: Math.min(1000, height - top) } });
  }
  console.log(JSON.stringify({ panels: panels.length, faults }));
} finally {
  await browser.close();
}
