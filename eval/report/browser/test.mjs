// Opens a report in Chromium from file:// and uses it as a person would, with
// the mouse and with the keyboard alone. Any request that the page makes, any
// error it logs and any breach of axe's rules fails the test.
//
//   node test.mjs REPORT.html [--texts] [--compare] [--behave] [--no-looks] [--shots DIR]
//
// --no-looks leaves out widths, colours, axe and the keyboard, which a large
// report has no other than a small one.
// CHROMIUM names the browser; the default is Debian's.
import { createRequire } from 'node:module';
import { readFileSync, existsSync, mkdirSync } from 'node:fs';
import { resolve, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const args = process.argv.slice(2);
const file = resolve(args[0]);
const texts = args.includes('--texts'), compare = args.includes('--compare'), behave = args.includes('--behave'), looks = !args.includes('--no-looks');
const shots = args.includes('--shots') ? args[args.indexOf('--shots') + 1] : '';
const browserPath = process.env.CHROMIUM || '/usr/bin/chromium';
if (!existsSync(browserPath)) {
  console.log(`SKIP: no browser at ${browserPath}; set CHROMIUM`);
  process.exit(0);
}
if (shots) mkdirSync(shots, { recursive: true });
const url = pathToFileURL(file).href;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const browser = await chromium.launch({ executablePath: browserPath, args: ['--no-sandbox'] });
let failures = 0;
async function step(name, run) {
  try {
    await run();
    console.log(`ok    ${name}`);
  } catch (e) {
    failures++;
    console.log(`FAIL  ${name}\n      ${String(e.message).replaceAll('\n', '\n      ')}`);
  }
}

// visit opens the report with the network cut; what it asks for is noted.
async function visit(options, before) {
  const context = await browser.newContext({ ...options, offline: true });
  const page = await context.newPage();
  page.asked = [];
  page.errors = [];
  page.on('request', (r) => { if (r.url() !== url && !r.url().startsWith('data:') && !r.url().startsWith('blob:')) page.asked.push(r.url()); });
  page.on('pageerror', (e) => page.errors.push(String(e)));
  page.on('console', (m) => { if (m.type() === 'error' || m.type() === 'warning') page.errors.push(m.text()); });
  page.on('dialog', (d) => { page.errors.push(`dialog: ${d.message()}`); d.dismiss(); });
  if (before) await page.addInitScript(before);
  await page.goto(url);
  await page.waitForFunction(() => document.getElementById('count').textContent.endsWith('个样本'));
  return page;
}
async function quiet(page) {
  assert.deepEqual(page.asked, [], 'the page asked for something');
  assert.deepEqual(page.errors, [], 'the page logged errors');
}
const count = async (page) => parseInt(await page.textContent('#count'), 10);
const shot = async (page, name, selector) => {
  if (!shots) return;
  if (selector) await page.locator(selector).scrollIntoViewIfNeeded();
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: !selector });
};
async function audit(page) {
  if (!looks) return;
  // axe is evaluated over the debugger, which the page's policy does not bind.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + n.failureSummary).join(' | ')} (${v.nodes.length})`), []);
}

const desktop = await visit({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
let all = 0;
await step('opens without a request', async () => { all = await count(desktop); assert.ok(all > 0); await quiet(desktop); });
await step('a cell of a confusion matrix keeps its examples', async () => {
  const cell = desktop.locator('#confusion [data-panel]:not([hidden]) table[data-field=kind] button').first();
  const n = parseInt(await cell.textContent(), 10);
  await cell.click();
  assert.equal(await count(desktop), n);
  assert.equal(await desktop.evaluate(() => document.activeElement.id), 'explorer-title');
});
await step('a cell off the diagonal, by Enter', async () => {
  const cell = desktop.locator('#confusion [data-panel]:not([hidden]) td:not(.right) > button').first();
  const n = parseInt(await cell.textContent(), 10);
  await cell.focus();
  await desktop.keyboard.press('Enter');
  assert.equal(await count(desktop), n);
  assert.match(await desktop.textContent('#rows'), /✗ 错/);
});
await step('the matrix follows the system', async () => {
  const options = desktop.locator('#confusion [data-pick] input');
  const last = (await options.count()) - 1;
  await options.nth(last).check();
  const system = await options.nth(last).inputValue();
  assert.equal(await desktop.locator('#confusion [data-panel]:not([hidden])').getAttribute('data-system'), system);
  const cell = desktop.locator('#confusion [data-panel]:not([hidden]) table[data-field=risk] button').first();
  const n = parseInt(await cell.textContent(), 10);
  await cell.click();
  assert.equal(await count(desktop), n);
  assert.equal(await desktop.evaluate(() => { const s = document.querySelector('[name=system]'); return s.options[s.selectedIndex].text; }), system);
});
await step('filters and clears', async () => {
  await desktop.click('#filters [type=reset]');
  await desktop.waitForFunction((n) => parseInt(document.getElementById('count').textContent, 10) >= 0 && document.querySelector('[name=gold]').disabled);
  const before = await count(desktop);
  await desktop.selectOption('[name=suite]', 'triage');
  const triage = await count(desktop);
  await desktop.selectOption('[name=field]', 'emotion');
  await desktop.selectOption('[name=state]', 'wrong');
  const wrong = await count(desktop);
  await desktop.selectOption('[name=state]', 'right');
  const right = await count(desktop);
  await desktop.selectOption('[name=state]', 'error');
  const failed = await count(desktop);
  assert.equal(wrong + right + failed, triage);
  await desktop.selectOption('[name=state]', '');
  const id = (await desktop.textContent('#rows button')).trim();
  await desktop.fill('[name=text]', id);
  assert.ok((await count(desktop)) >= 1 && (await count(desktop)) < triage);
  await desktop.click('#filters [type=reset]');
  await desktop.waitForFunction((n) => parseInt(document.getElementById('count').textContent, 10) === n, before);
});
await step('slices add up', async () => {
  await desktop.selectOption('[name=suite]', 'triage');
  const triage = await count(desktop);
  const values = await desktop.$$eval('[name=slice] option', (os) => os.filter((o) => o.text.startsWith('长度')).map((o) => o.value));
  let sum = 0;
  for (const v of values) { await desktop.selectOption('[name=slice]', v); sum += await count(desktop); }
  assert.equal(sum, triage);
  await desktop.click('#filters [type=reset]');
});
await step('pages', async () => {
  await desktop.waitForFunction(() => document.querySelector('[name=suite]').value === '');
  if ((await count(desktop)) <= 50) return;
  const first = await desktop.textContent('#rows button');
  await desktop.click('#next');
  assert.notEqual(await desktop.textContent('#rows button'), first);
  assert.match(await desktop.textContent('#page'), /^2 \//);
  await desktop.click('#previous');
});
await step('an example opens, steps and closes', async () => {
  await desktop.selectOption('[name=suite]', 'triage');
  await desktop.locator('#rows button').first().click();
  assert.ok(await desktop.locator('#detail').evaluate((d) => d.open));
  const title = await desktop.textContent('#detail-title');
  assert.match(await desktop.textContent('#detail-body'), /标注和答案/);
  await desktop.click('#later');
  assert.notEqual(await desktop.textContent('#detail-title'), title);
  await audit(desktop);
  if (shots) await desktop.screenshot({ path: join(shots, 'detail-1280-light.png') });
  await desktop.keyboard.press('Escape');
  assert.ok(!(await desktop.locator('#detail').evaluate((d) => d.open)));
});
if (texts) {
  await step('evidence is marked by code points', async () => {
    const want = await desktop.evaluate(async () => {
      const bytes = Uint8Array.from(atob(document.getElementById('data').content.textContent), (c) => c.charCodeAt(0));
      const data = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).json();
      // The characters under any span, message by message, of the first rows.
      return data.examples.map((e, i) => [e, data.now[0][i]]).filter(([e]) => e.s === 'triage').slice(0, 12).map(([e, a]) => [e.i, e.m.map(([, text], k) =>
        Array.from(text).filter((_, at) => a && (a.x || []).some(([, , m, from, to]) => m === k && from <= at && at < to)).join(''))]);
    });
    let marks = 0;
    for (let i = 0; i < want.length; i++) {
      await desktop.locator('#rows button').nth(i).click();
      assert.ok((await desktop.textContent('#detail-title')).startsWith(want[i][0]));
      const got = await desktop.$$eval('#detail .talk li', (ls) => ls.map((l) => [...l.querySelectorAll('mark')].map((m) => m.textContent).join('')));
      assert.deepEqual(got, want[i][1], want[i][0]);
      marks += got.join('').length;
      await desktop.keyboard.press('Escape');
    }
    assert.ok(marks > 0, 'no evidence marked');
  });
} else {
  await step('there are no texts', async () => {
    await desktop.locator('#rows button').first().click();
    assert.equal(await desktop.locator('#detail .talk').count(), 0);
    await desktop.keyboard.press('Escape');
  });
}
if (compare) {
  await step('the comparison leads to the changed examples', async () => {
    for (const system of await desktop.$$eval('#changes [data-pick] input', (is) => is.map((i) => i.value))) {
      await desktop.locator(`#changes [data-pick] input[value="${system}"]`).check();
      assert.equal(await desktop.locator('#changes [data-panel]:not([hidden])').getAttribute('data-system'), system);
      const buttons = desktop.locator('#changes [data-panel]:not([hidden]) button[data-change]');
      for (let i = 0; i < (await buttons.count()); i++) {
        const n = parseInt(await buttons.nth(i).textContent(), 10);
        await buttons.nth(i).click();
        assert.equal(await count(desktop), n, await buttons.nth(i).getAttribute('aria-label'));
      }
    }
    await desktop.click('#filters [type=reset]');
  });
}
if (behave) {
  const section = desktop.locator('#behave');
  const listed = () => desktop.$$eval('#behave .tests:not([hidden]) > li:not([hidden])', (ls) => ls.map((l) => ({ ...l.dataset, text: l.textContent })));
  const said = async () => parseInt(await desktop.textContent('#behave-count'), 10);
  const totals = async () => (await desktop.textContent('#behave [data-panel]:not([hidden]) > p')).match(/\d+/g).map(Number);
  await step('the behavioural tests that fail are listed', async () => {
    const [tests, passed, failing] = await totals();
    assert.ok(tests >= 60, `${tests} tests`);
    assert.ok(failing > 0 && passed + failing === tests);
    const all = await listed();
    assert.equal(all.length, failing);
    assert.equal(await said(), failing);
    assert.ok(all.every((t) => t.passed === 'false'));
    assert.equal(all[0].stands, 'new', 'what is new comes first');
    assert.match(all[0].text, /escalation\.churn/);
    assert.ok(all.slice(1).every((t) => t.stands === 'known'));
  });
  await step('all, the new ones, one capability and one kind', async () => {
    const [tests] = await totals();
    await section.locator('[name=show][value=all]').check();
    assert.equal((await listed()).length, tests);
    let sum = 0;
    for (const capability of await desktop.$$eval('#behave [name=capability] option', (os) => os.map((o) => o.value).filter(Boolean))) {
      await section.locator('[name=capability]').selectOption(capability);
      const some = await listed();
      assert.ok(some.length > 0 && some.every((t) => t.capability === capability));
      sum += await said();
    }
    assert.equal(sum, tests);
    await section.locator('[name=capability]').selectOption('');
    sum = 0;
    for (const kind of ['MFT', 'INV', 'DIR']) {
      await section.locator('[name=kind]').selectOption(kind);
      sum += await said();
    }
    assert.equal(sum, tests);
    await section.locator('[name=kind]').selectOption('');
    await section.locator('[name=show][value=new]').check();
    assert.equal(await said(), 1);
  });
  await step('a cell of capability and kind keeps its tests, in every system', async () => {
    for (const system of await desktop.$$eval('#behave [data-pick] input', (is) => is.map((i) => i.value))) {
      await section.locator(`[data-pick] input[value="${system}"]`).check();
      const cells = section.locator('[data-panel]:not([hidden]) button[data-capability]');
      let sum = 0;
      for (let i = 0; i < (await cells.count()); i++) {
        const [passed, of] = (await cells.nth(i).textContent()).split('/').map(Number);
        await cells.nth(i).focus();
        await desktop.keyboard.press('Enter');
        assert.equal(await said(), of - passed, `${system} ${await cells.nth(i).getAttribute('aria-label')}`);
        assert.equal(await desktop.evaluate(() => document.activeElement.id), 'behave-list');
        sum += of - passed;
      }
      assert.equal(sum, (await totals())[2]);
    }
    // no list of known failures speaks of the last system
    assert.ok((await listed()).every((t) => t.stands === 'unlisted'));
    await section.locator('[data-pick] input').first().check();
    await section.locator('[name=capability]').selectOption('');
    await section.locator('[name=kind]').selectOption('');
  });
  await step('failing cases open by keyboard, at most three', async () => {
    const first = section.locator('.tests:not([hidden]) > li:not([hidden]) summary').first();
    await first.focus();
    await desktop.keyboard.press('Enter');
    const shown = await desktop.$$eval('#behave details[open] ol > li', (ls) => ls.map((l) => l.textContent));
    assert.ok(shown.length > 0 && shown.length <= 3 && shown.every((t) => /文.+因.+/s.test(t)), shown.join('\n'));
    const most = await desktop.$$eval('#behave ol', (os) => Math.max(...os.map((o) => o.children.length)));
    assert.equal(most, 3);
    await desktop.keyboard.press('Enter');
    await quiet(desktop);
  });
} else if (looks) { // the large report has tests of its own
  await step('without behavioural tests it says how to add them', async () => {
    assert.match(await desktop.textContent('#behave pre'), /eval behave --system .+--json behave\.json\s+.*eval report .*--behave behave\.json/);
  });
}
if (looks) await step('by keyboard alone', async () => {
  const page = await visit({ viewport: { width: 1280, height: 900 } });
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  const met = new Set();
  let unseen = [];
  for (let i = 0; i < 2000; i++) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      const seen = e.matches(':focus-visible') && (getComputedStyle(e).outlineStyle !== 'none' || e.nextElementSibling && getComputedStyle(e.nextElementSibling).outlineStyle !== 'none');
      return { name: e.name || e.id || e.className || e.tagName, section: e.closest('section') ? e.closest('section').id : '', seen };
    });
    if (!at.seen && at.name !== 'BODY') unseen.push(at.name);
    met.add(at.section);
    met.add(at.name);
    if (at.name === 'link' && at.section === 'explorer') break;
  }
  assert.deepEqual(unseen, [], 'focus that cannot be seen');
  for (const name of ['confusion', 'suite', 'text', 'explorer', ...behave ? ['behave', 'show', 'capability', 'kind'] : []]) assert.ok(met.has(name), `Tab never reached ${name}`);
  await page.keyboard.press('Enter');
  assert.ok(await page.locator('#detail').evaluate((d) => d.open));
  await page.keyboard.press('Escape');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'link', 'focus returns to the row');
  await quiet(page);
  await page.context().close();
});
for (const width of looks ? [1280, 390] : []) {
  for (const colorScheme of ['light', 'dark']) {
    await step(`${width} px, ${colorScheme}: no overflow, axe`, async () => {
      const page = await visit({ viewport: { width, height: 900 }, colorScheme });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `the page is ${wide} px too wide`);
      for (const d of await page.$$('details')) await d.evaluate((e) => { e.open = true; });
      await audit(page);
      await shot(page, `page-${width}-${colorScheme}`);
      if (shots && behave) await page.locator('#behave').screenshot({ path: join(shots, `behave-${width}-${colorScheme}.png`) });
      await quiet(page);
      await page.context().close();
    });
  }
}
await step('nothing moves while it loads', async () => {
  const page = await visit({ viewport: { width: 1280, height: 900 } }, () => {
    globalThis.shift = 0;
    new PerformanceObserver((list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) globalThis.shift += e.value; }).observe({ type: 'layout-shift', buffered: true });
  });
  await page.waitForTimeout(300);
  assert.ok((await page.evaluate(() => globalThis.shift)) < 0.02, `layout shift ${await page.evaluate(() => globalThis.shift)}`);
  await page.context().close();
});
await step('without DecompressionStream', async () => {
  const page = await visit({ viewport: { width: 1280, height: 900 } }, () => { delete globalThis.DecompressionStream; });
  assert.equal(await page.evaluate(() => typeof DecompressionStream), 'undefined');
  assert.equal(await count(page), all);
  await quiet(page);
  await page.context().close();
});
await step('without scripts the figures are there', async () => {
  const context = await browser.newContext({ javaScriptEnabled: false, offline: true });
  const page = await context.newPage();
  await page.goto(url);
  assert.ok((await page.locator('#figures table').count()) > 0);
  assert.ok(await page.locator('noscript p').count() > 0 || (await page.textContent('#explorer')).includes('要用脚本'));
  if (behave) {
    const hidden = await page.$$eval('#behave .tests > li', (ls) => ls.filter((l) => !l.checkVisibility()).length);
    assert.equal(hidden, 0, 'tests that cannot be seen');
  }
  await context.close();
});
await step('filters answer at once', async () => {
  const ms = await desktop.evaluate(() => {
    const text = document.querySelector('[name=text]');
    const start = performance.now();
    for (const t of ['a', 'ab', '', '1', '']) { text.value = t; text.dispatchEvent(new Event('input', { bubbles: true })); }
    return (performance.now() - start) / 5;
  });
  console.log(`      ${ms.toFixed(1)} ms a filter, ${all} examples`);
  assert.ok(ms < 200, `${ms} ms`);
});
await step('nothing was asked for in the end', () => quiet(desktop));
if (shots) {
  const page = await visit({ viewport: { width: 1280, height: 900 } });
  await page.emulateMedia({ media: 'print' });
  await page.pdf({ path: join(shots, 'print.pdf'), format: 'A4' });
}
await browser.close();
if (failures) {
  console.log(`${failures} failed`);
  process.exit(1);
}
