// The draft of a page while it is edited: undone, kept by itself, and what the server says of it.

import {change, get} from '../api.js';

const PAUSE_MS = 800, AGAIN_MS = 5000, UNDONE = 50;
// What a read shows beside the page itself.
const BESIDE = ['profile_id', 'version', 'updated_at', 'published', 'is_changed', 'corrections'];

/** @param {any} answer of GET …/page/draft @returns {any} the page in it, a copy */
const pageOf = answer => JSON.parse(JSON.stringify(Object.fromEntries(Object.entries(answer).filter(([name]) => !BESIDE.includes(name)))));

/**
 * @typedef {'kept' | 'changed' | 'keeping' | 'refused' | 'away' | 'collision'} Standing
 * of what is typed: on the server; not yet; on its way; refused; the server is not reached; somebody else was first
 */

/** A draft. `told(kind)` is called after each change: 'all' if it is another page, 'page' or 'text' if a part is, 'standing'. */
export class Draft {
  /** @param {any} profile @param {any} answer of GET …/page/draft @param {(kind: 'all' | 'page' | 'text' | 'standing') => void} told */
  constructor(profile, answer, told) {
    this.path = `/v1/profiles/${profile.id}/page`;
    this.told = told;
    /** @type {Standing} */
    this.standing = 'kept';
    /** @type {any} */
    this.problem = null;
    /** @type {any} what somebody else has written, in a collision */
    this.theirs = null;
    /** @type {string[]} */
    this.past = [];
    /** @type {string[]} */
    this.future = [];
    this.lastKey = '';
    this.timer = 0;
    /** @type {Promise<void> | null} */
    this.flying = null;
    /** @type {string[]} ids of the blocks of what was refused */
    this.ids = [];
    this.take(answer);
    this.page = pageOf(answer);
    this.kept = JSON.stringify(this.page);
  }

  /** Take what a read or write says beside the page. @param {any} answer */
  take(answer) {
    this.version = answer.version;
    this.published = answer.published;
    this.isChanged = answer.is_changed;
    this.corrections = answer.corrections;
    this.base = pageOf(answer);
  }

  /**
   * Change the page. Changes of one key in a row are undone together.
   * @param {string} key @param {(page: any) => void} act @param {'page' | 'text'} [kind]
   */
  edit(key, act, kind = 'page') {
    if (kind === 'page' || key !== this.lastKey) this.remember();
    this.lastKey = key;
    act(this.page);
    this.later();
    this.told(kind);
  }

  remember() {
    this.past.push(JSON.stringify(this.page));
    if (this.past.length > UNDONE) this.past.shift();
    this.future = [];
  }

  /** @param {string[]} from @param {string[]} to */
  step(from, to) {
    const page = from.pop();
    if (page === undefined) return;
    to.push(JSON.stringify(this.page));
    this.page = JSON.parse(page);
    this.lastKey = '';
    this.later();
    this.told('all');
  }

  undo() { this.step(this.past, this.future); }

  redo() { this.step(this.future, this.past); }

  /** Keep it in a moment. @param {number} [ms] */
  later(ms = PAUSE_MS) {
    clearTimeout(this.timer);
    if (this.standing === 'collision') return;
    if (this.standing !== 'away') this.standing = 'changed';
    this.timer = setTimeout(() => this.keep(), ms);
  }

  get isKept() { return JSON.stringify(this.page) === this.kept; }

  /** Send it if it differs from what is kept; resolves when that is over, however it ends. @param {boolean} [leaving] */
  async keep(leaving = false) {
    clearTimeout(this.timer);
    if (this.flying) await this.flying;
    if (this.standing === 'collision') return;
    if (this.isKept) { this.stand('kept'); return; }
    this.flying = this.send(leaving).finally(() => { this.flying = null; });
    await this.flying;
  }

  /** @param {boolean} leaving */
  async send(leaving) {
    const sent = JSON.stringify(this.page);
    this.stand('keeping');
    try {
      this.take(await change('PUT', `${this.path}/draft`, JSON.parse(sent), {version: this.version, keepalive: leaving && sent.length < 60_000}));
      this.kept = sent;
      this.stand(this.isKept ? 'kept' : 'changed');
    } catch (problem) {
      await this.failed(/** @type {any} */ (problem), sent);
    }
  }

  /** @param {any} problem @param {string} sent */
  async failed(problem, sent) {
    if (!('status' in problem)) throw problem;
    this.problem = problem;
    if (problem.status === 412) return this.collide(sent);
    if (problem.status === 0 || problem.status === 429 || problem.status >= 500) {
      this.stand('away');
      this.later(Math.max(AGAIN_MS, problem.retryAfterS * 1000));
      return undefined;
    }
    this.ids = JSON.parse(sent).blocks.map((/** @type {any} */ block) => block.id);
    return this.stand('refused');
  }

  /** @param {string} sent */
  async collide(sent) {
    try {
      this.theirs = await get(`${this.path}/draft`);
    } catch (problem) {
      this.problem = problem;
      this.stand('away');
      this.later(AGAIN_MS);
      return;
    }
    // Only published meanwhile, or the same change: nobody's work is written over.
    if ([JSON.stringify(this.base), sent].includes(JSON.stringify(pageOf(this.theirs)))) {
      this.take(this.theirs);
      this.stand('changed');
      this.later(0);
      return;
    }
    this.stand('collision');
  }

  /** Why the server refused a block, by its fields; of the page's own fields without an id. @param {string} [id] @returns {{field: string, reason: string}[]} */
  errorsOf(id) {
    if (this.standing !== 'refused') return [];
    return this.problem.errors.flatMap((/** @type {any} */ error) => {
      const hit = /^blocks\[(\d+)\]\.?(.*)$/.exec(error.field);
      if (!hit) return id === undefined ? [error] : [];
      return this.ids[Number(hit[1])] === id ? [{field: hit[2], reason: error.reason}] : [];
    });
  }

  /** What they have changed of what was kept here, in words. @returns {string[]} */
  differences() {
    const mine = this.base, theirs = pageOf(this.theirs), words = [];
    for (const name of Object.keys(theirs)) if (name !== 'blocks' && JSON.stringify(theirs[name]) !== JSON.stringify(mine[name])) words.push(name.replaceAll('_', ' '));
    const mineById = new Map(mine.blocks.map((/** @type {any} */ block) => [block.id, JSON.stringify(block)]));
    const count = theirs.blocks.filter((/** @type {any} */ block) => mineById.get(block.id) !== JSON.stringify(block)).length;
    const gone = mine.blocks.length + theirs.blocks.filter((/** @type {any} */ block) => !mineById.has(block.id)).length - theirs.blocks.length;
    if (count) words.push(count === 1 ? 'one block' : `${count} blocks`);
    if (gone > 0) words.push(gone === 1 ? 'one block taken out' : `${gone} blocks taken out`);
    if (!words.length) words.push('the order of the blocks');
    return words;
  }

  /** End a collision: go on with this page, and write it over theirs. */
  keepMine() {
    this.take(this.theirs);
    this.kept = JSON.stringify(pageOf(this.theirs));
    this.theirs = null;
    this.standing = 'changed';
    return this.keep();
  }

  /** Go on with what the server has; Undo brings back what was here. @param {any} answer of a read or write of the draft */
  replace(answer) {
    this.remember();
    this.theirs = null;
    this.take(answer);
    this.page = pageOf(answer);
    this.kept = JSON.stringify(this.page);
    this.lastKey = '';
    this.standing = 'kept';
    this.told('all');
  }

  /** Publish it. Returns the number of the version that visitors had before, or null. Raises Problem. */
  async publish() {
    await this.keep();
    if (!this.isKept) return undefined;
    const before = this.published;
    const version = await change('POST', `${this.path}/publish`, undefined, {version: this.version});
    this.published = version.number;
    this.isChanged = false;
    this.stand(this.standing);
    return before === version.number ? null : before;
  }

  /** Publish an older version again; the draft stays as it is here. @param {number} number */
  async publishBefore(number) {
    await this.keep();
    const restored = await change('POST', `${this.path}/versions/${number}/restore`, undefined, {version: this.version});
    this.take(restored);
    this.kept = JSON.stringify(pageOf(restored));
    const version = await change('POST', `${this.path}/publish`, undefined, {version: this.version});
    this.published = version.number;
    this.isChanged = !this.isKept;
    await this.keep();
    this.stand(this.standing);
  }

  /** @param {Standing} standing */
  stand(standing) {
    this.standing = standing;
    if (standing === 'kept' || standing === 'keeping') this.problem = null;
    this.told('standing');
  }
}
