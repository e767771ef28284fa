// Import of links from a file: a preview of what it would do, then the import itself, with what it rejects.

import {h, fill, typed} from '../dom.js';
import {all, change as send, get} from '../api.js';
import {button} from '../controls.js';
import {dialog} from '../dialog.js';
import {field} from '../form.js';
import {number, plural} from '../format.js';
import {tellProblem, toast} from '../toast.js';

const LOOK_MS = 700;
const POLICIES = /** @type {[string, string][]} */ ([['update', 'is changed to what the file says'], ['reject', 'stays as it is, and its row is rejected']]);

/** @param {import('../url.js').State} state @param {() => void} done */
export function importDialog({profile}, done) {
  const path = `/v1/profiles/${profile.id}/imports`, result = h('div', {role: 'status'}), foot = h('div', {class: 'rowb'});
  const file = h('input', {type: 'file', name: 'file', accept: '.csv,.tsv,.txt,.json,.ndjson,.jsonl,.html,.htm', onchange: () => run(true)});
  const policy = h('select', {name: 'if_exists', onchange: () => file.files?.length && run(true)}, POLICIES.map(([one, words]) => h('option', {value: one}, words)));
  let stopped = false, round = 0;

  /** @param {boolean} dryRun */
  async function run(dryRun) {
    const mine = ++round;
    fill(foot);
    fill(result, h('progress', {'aria-label': 'Reading the file'}));
    try {
      let job = await send('POST', `${path}?if_exists=${policy.value}${dryRun ? '&dry_run=true' : ''}`, file.files?.[0]);
      while (!job.finished_at && !stopped && mine === round) {
        await new Promise(resolve => setTimeout(resolve, LOOK_MS));
        job = await get(`${path}/${job.id}`);
        const read = job.created + job.updated + job.unchanged + job.rejected;
        fill(result, h('progress', {max: job.total ?? undefined, value: job.total ? read : undefined, 'aria-label': 'Rows read'}), h('p', {class: 'note'}, job.total ? `${number(read)} of ${plural(job.total, 'row')}` : 'Waiting for a worker'));
      }
      if (!stopped && mine === round) await told(job, dryRun);
    } catch (problem) {
      if (!stopped) { fill(result); tellProblem(problem); }
    }
  }

  /** @param {any} job @param {boolean} dryRun */
  async function told(job, dryRun) {
    const rejects = job.rejected ? await all(`${path}/${job.id}/rejects`, 200) : [];
    const would = dryRun ? 'would be ' : '';
    fill(result,
      job.error ? h('p', {class: 'bad'}, typed(job.error)) : h('ul', {class: 'files'}, [['created', job.created], ['changed', job.updated], ['as they are already', job.unchanged], ['rejected', job.rejected]].map(([words, count]) => h('li', {}, `${words === 'as they are already' || words === 'rejected' ? '' : would}${words}`, h('b', {class: 'r'}, number(count))))),
      job.unread.length ? h('p', {class: 'note'}, 'Columns that mean nothing here: ', typed(job.unread.join(', '))) : null,
      rejects.length ? h('details', {open: true}, h('summary', {}, `Why ${plural(job.rejected, 'row')} ${job.rejected === 1 ? 'is' : 'are'} rejected`), h('ul', {class: 'rejects'}, rejects.map(reject => h('li', {}, h('b', {}, `Row ${number(reject.line)}: `), typed(reject.reason))))) : null);
    if (dryRun && !job.error && job.created + job.updated > 0) fill(foot, button(`Import ${plural(job.created + job.updated, 'link')}`, {class: 'main', onclick: () => run(false)}));
    if (!dryRun) {
      toast(`${plural(job.created, 'link')} created, ${number(job.updated)} changed`);
      done();
    }
  }

  dialog('Import links', [
    h('p', {class: 'note'}, 'CSV with any columns, or the export of Dub, Shlink, YOURLS, Kutt, Bitly, Rebrandly, Short.io, tiny.cc, LinkStack, Linktree, or a browser’s bookmarks. First you see what would happen.'),
    h('div', {class: 'form'}, field('File', file), field('A link that is there already', policy)), result], {foot, closed: () => { stopped = true; }});
}
