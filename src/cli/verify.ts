// rescunet eval verify: how well a recogniser tells pairs of photos, by the protocols of LFW, CPLFW, CFP, a CSV or .bin packs.
import { type Command, Option } from 'commander';
import type { Run } from './command.js';
import { addFitOptions, addReportOptions, type FaceOptions } from './photo-options.js';

export const PROTOCOLS = ['lfw', 'cplfw', 'cfp-ff', 'cfp-fp', 'csv', 'bin'] as const;

export interface VerifyOptions extends FaceOptions {
  protocol?: (typeof PROTOCOLS)[number];
  images?: string;
  recogniser?: string;
  skipMissing?: boolean;
  out?: string;
  json?: boolean;
  quiet?: boolean;
}

export function addVerify(evaluation: Command, run: Run): void {
  const command = evaluation
    .command('verify')
    .description(
      'Same or different: accuracy over folds, ROC, AUC, EER, TAR at FAR of a recogniser on pairs of photos.',
    )
    .argument('<sets...>', "pairs.txt, pairs_CPLFW.txt, CFP's folder, a CSV of pairs, or .bin packs");
  addFitOptions(command)
    .addOption(
      new Option('--protocol <name>', 'layout of the sets (default: by their names and endings)').choices(PROTOCOLS),
    )
    .option('--images <dir>', "folder of the photos (default: beside the pairs' file)")
    .option('--recogniser <file>', 'its weights, e.g. mobilefacenet_casia_068.safetensors or an IR-18 to 100')
    .option('--skip-missing', 'leave out pairs whose photos are missing, and say how many')
    .option('--out <dir>', 'write results.json, results.md, roc.svg and roc.png to DIR');
  addReportOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  rescunet eval verify lfw.bin cfp_fp.bin --recogniser ms1mv3_r50.pth --out verification
  rescunet eval verify pairs.txt --images lfw --weights-dir weights --model bfm_3ddfa.safetensors
  rescunet eval verify cfp-dataset --protocol cfp-fp --weights-dir weights --model bfm_3ddfa.safetensors`,
    )
    .action((sets: string[], options: VerifyOptions) =>
      run(options, async (reporter) => (await import('./run-verify.js')).runVerify(sets, options, reporter)),
    );
}
