// What the options' values mean, and what is refused.
import { expect, test } from 'vitest';
import { angles, box, whole } from '../../src/cli/values.js';

test.each([
  ['-80:80:20', [-80, -60, -40, -20, 0, 20, 40, 60, 80]],
  ['-30,0,30', [-30, 0, 30]],
  ['45', [45]],
  ['-12.5', [-12.5]],
  ['0:1:.25', [0, 0.25, 0.5, 0.75, 1]],
  ['20:-20:20', [20, 0, -20]],
  ['-10:10', [-10, 0, 10]],
  ['0:50:20', [0, 20, 40]],
  ['-80:-40:20,0,0', [-80, -60, -40, 0]],
])('angles %s', (text, wanted) => {
  expect(angles(text)).toEqual(wanted);
  expect(angles(text).some((angle) => Object.is(angle, -0))).toBe(false);
});

test.each(['', 'abc', '1e400', '-80:80:0', '-80:80:-20', '1:2:3:4', '200', '0:180:0.1', '1,,2', '--out', '0x10'])(
  'angles refuse %j',
  (text) => {
    expect(() => angles(text)).toThrow(/./);
  },
);

test('a box is four numbers in order', () => {
  expect(box('1,2.5,30,40')).toEqual([1, 2.5, 30, 40]);
  expect(box('-10,-5,30,40')).toEqual([-10, -5, 30, 40]);
  for (const text of ['1,2,3', '1,2,3,4,5', '30,2,10,40', '1,40,30,2', 'a,b,c,d', ''])
    expect(() => box(text)).toThrow();
});

test('whole numbers keep to their limits', () => {
  expect(whole(32, 4096)('256')).toBe(256);
  for (const text of ['31', '4097', '256.5', 'big', '']) expect(() => whole(32, 4096)(text)).toThrow();
});
