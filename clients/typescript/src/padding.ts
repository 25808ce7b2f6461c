/**
 * Padmé: sizes that say little (Nikitin and others, "Reducing metadata leakage from encrypted files and communication
 * with PURBs", 2019, algorithm 1).
 */

/** The padded length of `len` bytes: the same for many lengths, and never shorter. */
export function paddedLen(len: number): number {
  if (len < 2) return len;
  const exponent = log2(len);
  const kept = log2(exponent) + 1;
  const step = 2 ** (exponent - kept);
  return Math.ceil(len / step) * step;
}

/** The exponent of the largest power of two that is not above a whole number below 2^53. */
function log2(value: number): number {
  const guess = Math.floor(Math.log2(value));
  return 2 ** (guess + 1) <= value ? guess + 1 : 2 ** guess > value ? guess - 1 : guess;
}
