/** Shorter ones are words that stand in any text. */
const leastLength = 4;
const hidden = '[hidden]';

/** What a pod's own environment has that opens something: tokens of attempts, keys of Runpod. */
const tokens = /\b(tj1\.[\w.-]+|rpa_\w{16,})/g;
const assignments = /\b(TRAININGJOB_TOKEN|RUNPOD_API_KEY)(["']?\s*[=:]\s*["']?)[^\s"']+/g;

/** The lines with secret values hidden wherever they stand (I9); of a value with several lines, each of them. */
export function redacted(lines: readonly string[], values: readonly string[]): readonly string[] {
  const parts = values
    .flatMap((value) => value.split(/\r?\n/))
    .map((part) => part.trim())
    .filter((part) => part.length >= leastLength)
    .toSorted((a, b) => b.length - a.length);
  return lines.map((line) =>
    parts
      .reduce((text, part) => text.replaceAll(part, hidden), line)
      .replaceAll(assignments, `$1$2${hidden}`)
      .replaceAll(tokens, hidden),
  );
}
