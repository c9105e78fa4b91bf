// A process of prepareShards: takes the recipe, then one shard at a time. It ends when its parent lets go of it.
import { type ItemSource, openItems, type Recipe } from './items.js';
import { makeShard, type ShardAnswer, type ShardTask } from './prepare.js';

let source: Promise<ItemSource> | undefined;

process.on('message', async (message: { recipe: Recipe } | ShardTask) => {
  if ('recipe' in message) {
    source = openItems(message.recipe);
    source.catch(() => {}); // told with the first shard
    return;
  }
  const { k } = message;
  let answer: ShardAnswer;
  try {
    if (!source) throw new Error('prepare-worker: a shard before the recipe');
    answer = { k, state: await makeShard(await source, message) };
  } catch (error) {
    answer = { k, problem: error instanceof Error ? error.message : String(error) };
  }
  if (process.connected) process.send?.(answer);
});
process.on('disconnect', () => process.exit());
