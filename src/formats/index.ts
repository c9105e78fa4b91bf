// Files <-> tensors, nothing else. `load...` and `save...` deal in tensors, `read...` and `write...` in host memory.
export { FormatError } from './error.js';
export { writeAtomically, writeAtomicallySync } from './files.js';
export { type GlbOptions, saveGlb } from './glb.js';
export type { HostArray } from './host-array.js';
export { type MatCell, type MatStruct, type MatValue, readMat } from './mat.js';
export type { Mesh } from './mesh.js';
export { loadNpy, loadNpz, readNpy, readNpz, saveNpy, saveNpz } from './npy.js';
export { loadObj, type ObjMesh, readObj, saveObj } from './obj.js';
export { readPly } from './ply.js';
export {
  type LoadOptions,
  loadSafetensors,
  type Metadata,
  readSafetensors,
  readSafetensorsMetadata,
  type SaveOptions,
  saveSafetensors,
  writeSafetensors,
} from './safetensors.js';
export { type EventImage, EventWriter, type LoggedEvent, readEvents, scanEvents } from './tfevents.js';
export { loadTorch, readTorch, readTorchStateDict, type TorchValue } from './torch.js';
