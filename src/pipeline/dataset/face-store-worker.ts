// A process of keepFaces: takes what is to be drawn, then one person at a time.
import { drawPeople } from './face-store.js';
import { serveTasks } from './processes.js';

serveTasks(drawPeople);
