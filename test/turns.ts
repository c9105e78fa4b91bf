// Before every test the event loop takes a turn: tests that never wait would keep the runner's own messages back until it gives the worker up.
import { beforeEach } from 'vitest';

beforeEach(() => new Promise<void>((resolve) => setImmediate(resolve)));
