// rescunet info: what this installation is and what it runs on.
import { statSync } from 'node:fs';
import { totalmem } from 'node:os';
import type { Command } from 'commander';
import { EMBEDDED_MODEL, packageVersion, type Run } from './command.js';
import { EXIT_OK } from './errors.js';

export function addInfo(program: Command, run: Run): void {
  program
    .command('info')
    .description('Print version, devices, threads, memory and the default face model.')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExamples:\n  rescunet info\n  rescunet info --json')
    .action((options: { json?: boolean }) =>
      run(options, async (reporter) => {
        const { addon } = await import('../tensor/native.js');
        const { devices, memory } = await import('../tensor/device.js');
        const { cpu, cuda } = addon.info();
        const file = EMBEDDED_MODEL;
        const bytes = statSync(file, { throwIfNoEntry: false })?.size;
        const names = devices();
        const facts = {
          version: packageVersion(),
          node: process.version,
          platform: `${process.platform}-${process.arch}`,
          devices: names,
          instructionSet: cpu.instructionSet,
          bf16: cpu.bf16,
          threads: cpu.threads,
          cuda: cuda || undefined,
          memory: Object.fromEntries(names.map((name) => [name, memory(name)])),
          systemMemory: totalmem(),
          faceModel: { file, bytes: bytes ?? null },
        };
        reporter.line(`@rescunet/core  ${facts.version}`);
        reporter.line(`node            ${facts.node} (${facts.platform})`);
        reporter.line(`devices         ${names.join(', ')}`);
        reporter.line(
          `cpu             ${cpu.instructionSet}${cpu.bf16 ? ', bf16' : ''}, ${cpu.threads} ${cpu.threads === 1 ? 'thread' : 'threads'}`,
        );
        if (cuda) reporter.line(`cuda            no: ${cuda}`);
        reporter.line(`memory          ${mebibytes(facts.systemMemory)} in this machine`);
        for (const [name, { bytes: live, peak }] of Object.entries(facts.memory)) {
          reporter.line(`                ${mebibytes(live)} in tensors on ${name}, at most ${mebibytes(peak)} so far`);
        }
        reporter.line(`face model      ${file} (${bytes === undefined ? 'missing' : mebibytes(bytes)})`);
        reporter.document(facts);
        return EXIT_OK;
      }),
    );
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
