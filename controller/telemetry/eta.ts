/** Where the training was when; instants are epoch milliseconds. */
export interface PaceMark {
  readonly step: number;
  readonly atMs: number;
}

export interface Eta {
  readonly remainingSeconds: number;
  readonly confidence: 'Low' | 'Medium' | 'High';
}

const keptMarks = 12;
/** Ten years: what is said to take longer is no estimate. */
const mostSeconds = 315_360_000;

/** The marks with one more; a step that went back (a resumed run) starts anew. */
export function pushMark(marks: readonly PaceMark[], mark: PaceMark): readonly PaceMark[] {
  const last = marks.at(-1);
  if (last && mark.step < last.step) return [mark];
  if (last && mark.atMs - last.atMs < 1000) return marks;
  return [...marks, mark].slice(-keptMarks);
}

/** From the pace over the kept marks; undefined while there is none. More marks and more of the run done give more confidence. */
export function eta(
  marks: readonly PaceMark[],
  step: number | undefined,
  totalSteps: number | undefined,
): Eta | undefined {
  const first = marks.at(0);
  const last = marks.at(-1);
  if (!first || !last || step === undefined || totalSteps === undefined || last.step <= first.step) return undefined;
  const secondsPerStep = (last.atMs - first.atMs) / 1000 / (last.step - first.step);
  const remainingSeconds = Math.max(0, totalSteps - step) * secondsPerStep;
  if (remainingSeconds > mostSeconds) return undefined;
  const done = totalSteps === 0 ? 1 : step / totalSteps;
  const confidence = marks.length < 4 ? 'Low' : marks.length < 8 || done < 0.1 ? 'Medium' : 'High';
  return { remainingSeconds, confidence };
}
