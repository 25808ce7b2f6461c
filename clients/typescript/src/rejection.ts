/** A refusal of the ledger, as people read it. */

import { hex } from './bytes.js';
import { REJECTIONS } from './rejections.js';
import type { Rejection } from './types.js';

/** What the ledger says: why, and what to do next. */
export function rejectionText(rejection: Rejection): string {
  const value: unknown = 'value' in rejection ? rejection.value : undefined;
  return REJECTIONS[rejection.kind].replace(/\{(\w+)(:time)?\}/g, (_, name: string, isTime?: string) =>
    shownField(fieldOf(value, name), isTime !== undefined),
  );
}

/** A field by its name; one without a name by its place. */
function fieldOf(value: unknown, name: string): unknown {
  if (!/^\d$/.test(name)) return (value as Record<string, unknown>)[name];
  return Array.isArray(value) ? value[Number(name)] : value;
}

function shownField(field: unknown, isTime: boolean): string {
  if (field instanceof Uint8Array) return hex(field);
  if (isTime && typeof field === 'bigint' && field < 8_640_000_000_000_000n)
    return new Date(Number(field)).toISOString();
  if (field !== null && typeof field === 'object' && 'kind' in field) return String(field.kind).replaceAll('_', ' ');
  return String(field);
}
