/** The newest train losses, oldest first; for the trend only, never for a score. */
export type LossWindow = readonly number[];

export type LossTrend = 'improving' | 'degrading' | 'stable' | 'insufficient_data';

export const windowSize = 10;
const leastValues = 3;
const threshold = 0.01;

export function pushLoss(window: LossWindow, loss: number | null): LossWindow {
  if (loss === null || !Number.isFinite(loss)) return window;
  return [...window, loss].slice(-windowSize);
}

/** Compares the means of the window's two halves; the second has the middle value of an odd count. */
export function lossTrend(window: LossWindow): LossTrend {
  if (window.length < leastValues) return 'insufficient_data';
  const half = Math.floor(window.length / 2);
  const drop = mean(window.slice(0, half)) - mean(window.slice(half));
  if (drop > threshold) return 'improving';
  return drop < -threshold ? 'degrading' : 'stable';
}

function mean(values: LossWindow): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
