// The reader and their profiles: who is signed in, which profile a path names, what their role lets them do.

import {get, session} from './api.js';

/** @type {Map<string, string>} */
const roles = new Map();

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

/** Return the reader's profile of a handle, or null. @param {string} handle */
export async function profileOf(handle) {
  const name = handle.toLowerCase();
  return (await profiles()).find(profile => profile.handle.toLowerCase() === name) ?? null;
}

/**
 * Return the reader's role in a profile: owner, admin, editor or viewer.
 * @param {any} profile @returns {Promise<string>}
 */
export async function roleIn(profile) {
  const known = roles.get(profile.id);
  if (known) return known;
  const me = await session();
  const member = await get(`/v1/profiles/${profile.id}/members/${me.user.id}`);
  roles.set(profile.id, member.role);
  return member.role;
}

/** Forget roles, after a change of members. */
export const forgetRoles = () => roles.clear();

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
