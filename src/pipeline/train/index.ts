// Training, as the `pipeline` namespace shows it.
export { type Checkpoint, checkpointSteps, loadCheckpoint, type Progress } from './checkpoint.js';
export { learningRate, parseTrainConfig, readTrainConfig, type TrainConfig, TrainConfigError } from './config.js';
export { defaultConfigText } from './config-text.js';
export type { FitterConfig } from './fitter-config.js';
export { type FitterBatch, type FitterCost, FitterStep, type FitterStepOptions } from './fitter-step.js';
export type { RunConfig, Scalars, Score as TrainScore, TrainJob, TrainTask } from './job.js';
export { createStep } from './networks.js';
export type { FacePairSpec, FaceSpec, RecogniserConfig } from './recogniser-config.js';
export { type Backbone, RecogniserStep, type RecogniserStepOptions } from './recogniser-step.js';
export { type GanNetworks, GanStep, type GanStepOptions, type PairBatch, type StepLosses } from './step.js';
export { type AnyTrainConfig, parseTrainConfigOf, readAnyTrainConfig, TASK_NAMES } from './tasks.js';
export { RUN_FILES, TrainingError, train, trainTask } from './trainer.js';
export type { StepReport, TrainOptions, TrainReport } from './types.js';
