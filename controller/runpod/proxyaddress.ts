/**
 * The address under which Runpod's proxy, or what a setting names in its place, forwards to an HTTP port of a pod. Throws for an
 * id that would change the rest of the address.
 */
export function proxyAddress(template: string, podID: string, port: number): string {
  if (!/^[A-Za-z0-9-]+$/.test(podID)) throw new Error(`"${podID}" is no pod id that an address can be made of`);
  return template.replaceAll('{podID}', podID).replaceAll('{port}', String(port)).replace(/\/+$/, '');
}
