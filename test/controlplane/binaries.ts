import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder, exists, goBuild } from '../servers/gobuild.ts';

export interface Binaries {
  readonly etcd: string;
  readonly kubeApiserver: string;
  readonly kubectl: string;
  /** Where they were found. */
  readonly origin: 'KUBEBUILDER_ASSETS' | 'cache' | 'archive' | 'built';
}

export const kubernetesVersion = 'v1.36.3';
/** Newest published archive of the same minor version. */
const archiveVersion = 'v1.36.0';
const toolsFolder = new URL('./tools/', import.meta.url).pathname;
const names = ['etcd', 'kube-apiserver', 'kubectl'] as const;

/** Finds or makes etcd, kube-apiserver and kubectl. Whatever takes longer than two seconds says so through `say`. */
export async function findBinaries(say: (line: string) => void): Promise<Binaries> {
  const assets = process.env['KUBEBUILDER_ASSETS'];
  if (assets !== undefined && assets !== '') {
    if (await complete(assets)) return paths(assets, 'KUBEBUILDER_ASSETS');
    throw new Error(
      `KUBEBUILDER_ASSETS is ${assets}, which lacks one of ${names.join(', ')}; unset it or put them there`,
    );
  }
  const folder = await cacheFolder('controlplane', toolsFolder, `${kubernetesVersion}-`);
  if (await complete(folder)) return paths(folder, 'cache');
  return locked(`${folder}.lock`, say, async () => {
    // Another run may have made them while this one waited for the lock.
    if (await complete(folder)) return paths(folder, 'cache');
    const scratch = await mkdtemp(`${folder}-`);
    try {
      const origin = (await fetchArchive(scratch, say)) ? 'archive' : await build(scratch, say);
      await rm(folder, { recursive: true, force: true });
      await rename(scratch, folder);
      return paths(folder, origin);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
}

async function complete(folder: string): Promise<boolean> {
  const found = await Promise.all(names.map((name) => exists(join(folder, name))));
  return found.every(Boolean);
}

function paths(folder: string, origin: Binaries['origin']): Binaries {
  return {
    etcd: join(folder, 'etcd'),
    kubeApiserver: join(folder, 'kube-apiserver'),
    kubectl: join(folder, 'kubectl'),
    origin,
  };
}

/** One maker at a time; a lock whose maker died is taken over. */
async function locked<T>(file: string, say: (line: string) => void, make: () => Promise<T>): Promise<T> {
  for (let told = false; ; told = true) {
    try {
      const handle = await open(file, 'wx');
      await handle.writeFile(String(process.pid));
      await handle.close();
      break;
    } catch {
      const holder = Number(await readFile(file, 'utf8').catch(() => '0'));
      if (holder > 0 && !alive(holder)) await rm(file, { force: true });
      else if (!told) say(`waiting for process ${holder}, which makes the control plane's binaries`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
  try {
    return await make();
  } finally {
    await rm(file, { force: true });
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The published archive, if it can be reached; its checksum is published beside it. */
async function fetchArchive(folder: string, say: (line: string) => void): Promise<boolean> {
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const name = `envtest-${archiveVersion}-${process.platform}-${arch}.tar.gz`;
  const url = `https://github.com/kubernetes-sigs/controller-tools/releases/download/envtest-${archiveVersion}/${name}`;
  try {
    const probe = await fetch(`${url}.sha512`, { signal: AbortSignal.timeout(5000) });
    if (!probe.ok) throw new Error(`answered ${probe.status}`);
    const wanted = (await probe.text()).trim().split(/\s/)[0];
    say(`fetching ${name}`);
    const body = Buffer.from(await (await fetch(url, { signal: AbortSignal.timeout(300_000) })).arrayBuffer());
    if (createHash('sha512').update(body).digest('hex') !== wanted) throw new Error('its checksum does not match');
    const file = join(folder, name);
    await writeFile(file, body);
    await promisify(execFile)('tar', ['-xzf', file, '-C', folder, '--strip-components=2']);
    await rm(file);
    return await complete(folder);
  } catch (error) {
    say(
      `no published archive of the control plane can be had (${error instanceof Error ? error.message : String(error)}); building it`,
    );
    return false;
  }
}

async function build(folder: string, say: (line: string) => void): Promise<'built'> {
  const version = 'k8s.io/component-base/version';
  const took = await goBuild(
    {
      what: `etcd, kube-apiserver and kubectl ${kubernetesVersion}`,
      takes: '4 minutes',
      module: toolsFolder,
      packages: ['k8s.io/kubernetes/cmd/kube-apiserver', 'k8s.io/kubernetes/cmd/kubectl', './etcd'],
      ldflags: `-s -w -X ${version}.gitVersion=${kubernetesVersion} -X ${version}.gitMajor=1 -X ${version}.gitMinor=36`,
      withoutGo:
        'neither an envtest archive nor Go can be had; install Go 1.26 or newer, or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl',
    },
    folder,
    say,
  );
  if (!(await complete(folder))) throw new Error(`go build left one of ${names.join(', ')} out`);
  say(`the control plane's binaries were built in ${took} and are kept in ${folder.replace(/-[^-]*$/, '')}`);
  return 'built';
}
