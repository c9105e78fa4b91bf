// A device opened once more, with environment variables set that the addon reads as it opens one.
import { AddonBackend, registerDevice } from '../src/tensor/device.js';

/** Its name, for `device` options. Throws DeviceError where it cannot be opened. */
export function opened(device: string, variables: Record<string, string>): string {
  const name = [device, ...Object.values(variables)].join(' ');
  Object.assign(process.env, variables);
  try {
    registerDevice(name, new AddonBackend(device));
  } finally {
    for (const variable of Object.keys(variables)) delete process.env[variable];
  }
  return name;
}
