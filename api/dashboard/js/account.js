// The reader's profiles: all of them, the one that a path names, and the one that was open last.

import {get} from './api.js';

/** Return all profiles of the reader. @returns {Promise<any[]>} */
export async function profiles() {
  const first = await get('/v1/profiles?limit=100');
  const items = [...first.items];
  for (let cursor = first.next_cursor; cursor && items.length < 2000;) {
    const page = await get(`/v1/profiles?limit=100&cursor=${encodeURIComponent(cursor)}`);
    items.push(...page.items);
    cursor = page.next_cursor;
  }
  return items;
}

/** Return the reader's profile of a handle, with their `role` in it: owner, admin, editor or viewer; or null. @param {string} handle */
export async function profileOf(handle) {
  try {
    return (await get(`/v1/profiles?handle=${encodeURIComponent(handle)}`)).items[0] ?? null;
  } catch (problem) {
    if (/** @type {any} */ (problem).status === 422) return null; // no handle is like this
    throw problem;
  }
}

const LAST = 'profile';
/** Keep a handle as the profile that "/" leads to. @param {string} handle */
export function keepLast(handle) {
  try {
    localStorage.setItem(LAST, handle);
  } catch {
    // Storage is switched off, so "/" leads to the list.
  }
}

/** @returns {string | null} */
export function lastHandle() {
  try {
    return localStorage.getItem(LAST);
  } catch {
    return null;
  }
}
