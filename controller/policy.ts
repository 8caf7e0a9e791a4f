import type { Policy } from './reconcile/snapshot.ts';
import type { Settings } from './settings.ts';

/** What decisions are made with, from the settings. */
export function policyOf(settings: Settings): Policy {
  return {
    goneGapMs: settings.goneGap * 1000,
    createGraceMs: settings.createGrace * 1000,
    stopGraceMs: settings.stopGrace * 1000,
    refusalBackoffMs: settings.refusalBackoff * 1000,
    refusalBackoffMaxMs: settings.refusalBackoffMax * 1000,
    retryBackoffMs: settings.retryBackoff * 1000,
    retryBackoffMaxMs: settings.retryBackoffMax * 1000,
    excludeMs: settings.exclude * 1000,
    recheckMs: settings.recheck * 1000,
    progressWriteMs: settings.progressWrite * 1000,
    transport: settings.telemetryTransport === 'Pull' ? 'Pull' : 'Push',
    canBeCalled: settings.telemetryUrl.trim() !== '',
  };
}
