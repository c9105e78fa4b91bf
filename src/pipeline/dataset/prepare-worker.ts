// A process of prepareShards: takes the recipe, then one shard at a time.
import { openItems, type Recipe } from './items.js';
import { makeShard, type ShardTask } from './prepare.js';
import { serveTasks } from './processes.js';

serveTasks(async (recipe: Recipe) => {
  const source = await openItems(recipe);
  return (task: ShardTask) => makeShard(source, task);
});
