import type { Progress } from './checkpoint.js';
export interface StepReport {
  step: number;
  totalSteps: number;
  epoch: number;
  losses: Record<string, number>;
  imagesPerSecond: number;
  secondsLeft: number;
  event?: 'checkpoint' | 'validation';
}
export interface TrainOptions {
  resume?: boolean;
  onStep?: (s: StepReport) => void;
  signal?: AbortSignal;
}
export interface TrainReport {
  step: number;
  totalSteps: number;
  best: Progress['best'];
  seconds: number;
  imagesPerSecond: number;
  arenaBytes: number;
  interrupted: boolean;
  problems: string[];
}
