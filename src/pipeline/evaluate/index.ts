// Evaluation: what is compared, the numbers, the tables, the pictures.
export { nominalYaw, sampleByYaw, YAW_BINS } from './bins.js';
export { type ChartOptions, lineChart, type Series } from './chart.js';
export * from './completer.js';
export { attentionSheet, comparisonSheet, type FigureOptions, writeFigures } from './figures.js';
export * from './fit.js';
export { leftOut, markdownReport, textTables } from './report.js';
export { type RunFigureOptions, writeRunFigures } from './run-figures.js';
export * from './scores.js';
export { joinSources } from './sources.js';
export { type EvaluateUvOptions, evaluateUv, type UvEvaluation } from './uv.js';
