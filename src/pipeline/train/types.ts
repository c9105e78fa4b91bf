// What a training run is asked for and tells of: the contract between the trainer and whoever starts it.

export interface StepReport {
  /** Steps done, 1 after the first. */
  step: number;
  totalSteps: number;
  /** 0-based. */
  epoch: number;
  /** By name; means since the last report, without their weights. A validation's scores are among them. */
  losses: Record<string, number>;
  /** Pairs per second of training since the last report. */
  imagesPerSecond: number;
  secondsLeft: number;
  /** What was just done besides; without it, `log.every` steps have passed. */
  event?: 'checkpoint' | 'validation';
}

export interface TrainOptions {
  /** Go on from the newest whole checkpoint of the run's folder. */
  resume?: boolean;
  onStep?: (report: StepReport) => void;
  /** Once aborted, the step under way is finished, a checkpoint written, and the run ends. */
  signal?: AbortSignal;
}

export interface TrainReport {
  /** Steps done, those of earlier runs included. */
  step: number;
  totalSteps: number;
  /** The step that scored best on the validation pairs, and its PSNR in dB. */
  best?: { step: number; score: number };
  seconds: number;
  imagesPerSecond: number;
  /** Memory of a captured step's intermediate results. */
  arenaBytes: number;
  /** Ended by the signal before the last step. */
  interrupted: boolean;
  /** One line for each part of the data or checkpoint that was left out. */
  problems: readonly string[];
}
