import { XenStoreError } from '../errors.ts';
import type { Permission } from '../permissions.ts';

/** A node of the fake. */
export interface FakeNode {
  value: Uint8Array;
  permissions: readonly Permission[];
  /** Changes with every change of the node. */
  generation: number;
}

const EMPTY = new Uint8Array();

function fail(code: string): never {
  throw new XenStoreError(code, code);
}

/** Path of the node above; of `/` itself. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

/** Whether domain `domid` may do `wanted` with a node; domain 0 may do everything. */
function permits(node: FakeNode, domid: number, wanted: 'read' | 'write'): boolean {
  const [owner, ...others] = node.permissions;
  if (domid === 0 || owner === undefined || owner.domid === domid) return true;
  const entry = others.find((permission) => permission.domid === domid) ?? owner;
  return entry.access === wanted || entry.access === 'both';
}

/** The nodes, as one connection or transaction sees them. */
export class FakeTree {
  readonly nodes: Map<string, FakeNode>;
  /** Counts changes. */
  generation: number;
  /** Paths changed through this view, for watches. */
  readonly changed: string[] = [];

  constructor(nodes?: ReadonlyMap<string, FakeNode>, generation = 1) {
    this.nodes = new Map(nodes);
    this.generation = generation;
    if (this.nodes.size === 0) {
      const permissions = [{ domid: 0, access: 'none' } as const];
      this.nodes.set('/', { value: EMPTY, permissions, generation: 1 });
    }
  }

  #get(path: string, domid: number, wanted: 'read' | 'write'): FakeNode {
    const node = this.nodes.get(path) ?? fail('ENOENT');
    return permits(node, domid, wanted) ? node : fail('EACCES');
  }

  read(path: string, domid: number): Uint8Array {
    return this.#get(path, domid, 'read').value;
  }

  children(path: string, domid: number): { names: string[]; generation: number } {
    const { generation } = this.#get(path, domid, 'read');
    const prefix = path === '/' ? '/' : `${path}/`;
    const names: string[] = [];
    for (const key of this.nodes.keys()) {
      if (key === path || !key.startsWith(prefix)) continue;
      const name = key.slice(prefix.length);
      if (!name.includes('/')) names.push(name);
    }
    return { names, generation };
  }

  #create(path: string, domid: number): FakeNode {
    const above = parentOf(path);
    const parent = this.nodes.get(above) ?? this.#create(above, domid);
    if (!permits(parent, domid, 'write')) fail('EACCES');
    const [owner, ...others] = parent.permissions;
    // A node belongs to the domain that makes it, and is otherwise as open as the one above.
    const own = {
      domid: domid === 0 ? (owner?.domid ?? 0) : domid,
      access: owner?.access ?? 'none',
    };
    const node = { value: EMPTY, permissions: [own, ...others], generation: ++this.generation };
    this.nodes.set(path, node);
    parent.generation = ++this.generation;
    return node;
  }

  write(path: string, value: Uint8Array, domid: number): void {
    const known = this.nodes.get(path);
    if (known !== undefined && !permits(known, domid, 'write')) fail('EACCES');
    const node = known ?? this.#create(path, domid);
    this.nodes.set(path, { ...node, value, generation: ++this.generation });
    this.changed.push(path);
  }

  mkdir(path: string, domid: number): void {
    if (this.nodes.has(path)) return;
    this.#create(path, domid);
    this.changed.push(path);
  }

  rm(path: string, domid: number): void {
    if (path === '/') fail('EINVAL');
    const above = this.nodes.get(parentOf(path)) ?? fail('ENOENT');
    const node = this.nodes.get(path);
    if (node === undefined) return;
    if (!permits(node, domid, 'write')) fail('EACCES');
    for (const key of [...this.nodes.keys()]) {
      if (key === path || key.startsWith(`${path}/`)) this.nodes.delete(key);
    }
    above.generation = ++this.generation;
    this.changed.push(path);
  }

  permissions(path: string, domid: number): readonly Permission[] {
    return this.#get(path, domid, 'read').permissions;
  }

  setPermissions(path: string, permissions: readonly Permission[], domid: number): void {
    const node = this.nodes.get(path) ?? fail('ENOENT');
    if (domid !== 0 && node.permissions[0]?.domid !== domid) fail('EACCES');
    this.nodes.set(path, { ...node, permissions, generation: ++this.generation });
    this.changed.push(path);
  }
}
