import { defineConfig } from 'vite';

export default defineConfig({
  esbuild: { jsx: 'automatic' },
  // Grafana's packages are large and some of what they bring looks for a Node.js environment.
  define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}', global: 'globalThis' },
  build: { chunkSizeWarningLimit: 20000, sourcemap: false },
});
