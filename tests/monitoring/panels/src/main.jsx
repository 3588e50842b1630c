// Draws each panel of the dashboard from query results, with Grafana's field, display and drawing code.
import { createRoot } from 'react-dom/client';
import { createTheme, dateTime, FieldType, getDisplayProcessor, getDisplayValueAlignmentFactors, ThemeContext, VizOrientation } from '@grafana/data';
import { BarGauge, BigValue, TimeSeries } from '@grafana/ui';

const theme = createTheme({ colors: { mode: 'dark' } });
const CELL = 60 + 8;
const UNIT = 38;
const HEADING = 40;

/// A result as Grafana has it: a frame of a time and a value, with the panel's settings on the value.
function frame(panel, series, index) {
  const { defaults } = panel.fieldConfig;
  const value = {
    name: 'Value',
    type: FieldType.number,
    values: series.points.map((point) => point[1]),
    labels: series.labels,
    config: { ...defaults, displayName: series.legend, displayNameFromDS: series.legend },
    state: { seriesIndex: index },
  };
  value.display = getDisplayProcessor({ field: value, theme });
  const time = { name: 'Time', type: FieldType.time, values: series.points.map((point) => point[0]), config: {} };
  return { refId: series.refId, fields: [time, value], length: series.points.length };
}

function last(field) {
  return field.values[field.values.length - 1];
}

function Graph({ panel, frames, width, height, from, to }) {
  const timeRange = { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };
  return (
    <TimeSeries frames={frames} structureRev={1} width={width} height={height} timeRange={timeRange} timeZone="utc"
      theme={theme} legend={{ ...panel.options.legend, displayMode: 'list', calcs: ['lastNotNull'] }} options={{}} />
  );
}

function Values({ panel, frames, width, height }) {
  const each = Math.floor(width / frames.length) - 8;
  return (
    <div className="values">
      {frames.map(({ fields: [, field] }, index) => (
        <BigValue key={index} theme={theme} width={each} height={height} value={{ ...field.display(last(field)), title: field.config.displayName }}
          colorMode="value" graphMode="none" justifyMode="auto" textMode={panel.options.textMode} />
      ))}
    </div>
  );
}

function Bars({ panel, frames, width, height }) {
  const each = Math.floor(height / frames.length) - 4;
  const most = Math.max(1, ...frames.map(({ fields: [, field] }) => last(field)));
  const shownAs = ({ fields: [, field] }) => ({ ...field.display(last(field)), title: field.config.displayName });
  const factors = getDisplayValueAlignmentFactors(frames.map((one) => ({ display: shownAs(one) })));
  return frames.map(({ fields: [, field] }, index) => (
    <BarGauge key={index} theme={theme} width={width} height={each} field={{ ...field.config, min: 0, max: most }} display={field.display}
      value={{ ...field.display(last(field)), title: field.config.displayName }} orientation={VizOrientation.Horizontal}
      displayMode={panel.options.displayMode} showUnfilled={panel.options.showUnfilled} text={panel.options.text} alignmentFactors={factors} />
  ));
}

const KINDS = { timeseries: Graph, stat: Values, bargauge: Bars };

function Panel({ panel, series, from, to }) {
  const { w, h } = panel.gridPos;
  const width = w * CELL - 8 - 18;
  const height = h * UNIT - HEADING;
  const frames = series.filter((one) => one.points.length > 0).map((one, index) => frame(panel, one, index));
  const Kind = KINDS[panel.type];
  return (
    <div className="panel" id={`panel-${panel.id}`} style={{ gridColumn: `span ${w}`, height: h * UNIT - 18 }}>
      <h2>{panel.title}</h2>
      {frames.length === 0 ? <p>No data</p> : <Kind panel={panel} frames={frames} width={width} height={height} from={from} to={to} />}
    </div>
  );
}

const shown = await (await fetch('/panels.json')).json();
createRoot(document.getElementById('root')).render(
  <ThemeContext.Provider value={theme}>
    {shown.panels.map(({ panel, series }) =>
      panel.type === 'row' ? <div className="row" key={panel.id}>{panel.title}</div>
        : <Panel key={panel.id} panel={panel} series={series} from={shown.from} to={shown.to} />)}
  </ThemeContext.Provider>,
);
// Two frames later everything has been drawn once.
requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => { document.title = 'drawn'; }, 1000)));
