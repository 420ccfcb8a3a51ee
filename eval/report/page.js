// The explorer of a report: it unpacks the rows that the page carries, keeps
// those that the filters let through and shows one page of them. Every text
// goes into the page as text, never as HTML.
(() => {
  'use strict';
  const $ = (id) => document.getElementById(id);
  const perPage = 50;
  const roles = { customer: '客户', agent: '客服', bot: '机器人', system: '系统' };

  // el makes an element with attributes and children; strings become text.
  const el = (name, attributes, ...children) => {
    const e = document.createElement(name);
    for (const [k, v] of Object.entries(attributes || {})) {
      if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
      else if (v !== false && v !== undefined && v !== null) e.setAttribute(k, v === true ? '' : v);
    }
    e.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== ''));
    return e;
  };

  // Sections that show one system at a time.
  for (const pick of document.querySelectorAll('[data-pick]')) {
    const show = () => {
      const system = pick.querySelector('input:checked').value;
      for (const panel of document.querySelectorAll(`[data-panel="${pick.dataset.pick}"]`)) panel.hidden = panel.dataset.system !== system;
    };
    pick.addEventListener('change', show);
    show(); // a browser may have kept the choice over a reload
  }

  // The behavioural tests: which of them are listed. A cell of the table above
  // the list keeps what it counts.
  const tests = $('behave-filters');
  if (tests) {
    const choice = (name) => tests.elements.namedItem(name);
    const list = () => {
      const show = choice('show').value, capability = choice('capability').value, kind = choice('kind').value;
      let n = 0;
      for (const li of document.querySelectorAll('#behave .tests > li')) {
        const { stands, passed, capability: of, kind: as } = li.dataset;
        const wanted = show === 'all' || (show === 'new' ? stands === 'new' || stands === 'worse' : passed === 'false');
        li.hidden = !wanted || Boolean(capability && of !== capability) || Boolean(kind && as !== kind);
        if (!li.hidden && !li.parentElement.hidden) n++;
      }
      $('behave-count').textContent = n ? `${n} 个测试` : '0 个测试：没有这样的测试';
    };
    // Choices of the form bubble up to the section, as that of the system does.
    $('behave').addEventListener('change', list);
    tests.addEventListener('submit', (e) => e.preventDefault());
    $('behave').addEventListener('click', (e) => {
      const b = e.target.closest('button[data-capability]');
      if (!b) return;
      choice('show').value = 'failing'; choice('capability').value = b.dataset.capability; choice('kind').value = b.dataset.kind;
      list();
      $('behave-list').scrollIntoView();
      $('behave-list').focus({ preventScroll: true });
    });
    list();
  }

  // inflate unpacks gzip where the browser cannot (RFC 1951, 1952); the header
  // is that of Go's writer, ten bytes without a name.
  function inflate(src) {
    let out = new Uint8Array(src.length * 4), size = 0, at = 10, bits = 0, held = 0;
    const need = (n) => {
      while (held < n) { bits |= src[at++] << held; held += 8; }
      const v = bits & ((1 << n) - 1);
      bits >>>= n; held -= n;
      return v;
    };
    const room = (n) => { if (size + n > out.length) { const bigger = new Uint8Array(Math.max(2 * out.length, size + n)); bigger.set(out); out = bigger; } };
    const table = (lengths) => {
      const count = new Uint16Array(16), symbol = new Uint16Array(lengths.length), next = new Uint16Array(16);
      for (const l of lengths) count[l]++;
      count[0] = 0;
      for (let i = 1; i < 15; i++) next[i + 1] = next[i] + count[i];
      lengths.forEach((l, s) => { if (l) symbol[next[l]++] = s; });
      return { count, symbol };
    };
    const read = ({ count, symbol }) => {
      let code = 0, first = 0, index = 0;
      for (let l = 1; l < 16; l++) {
        code |= need(1);
        if (code - count[l] < first) return symbol[index + code - first];
        index += count[l]; first = (first + count[l]) << 1; code <<= 1;
      }
      throw new Error('bad code');
    };
    const lengthBase = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
    const lengthMore = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
    const farBase = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577];
    const order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    for (let last = 0; !last;) {
      last = need(1);
      const kind = need(2);
      if (kind === 0) {
        bits = held = 0;
        const n = src[at] | (src[at + 1] << 8);
        at += 4; room(n); out.set(src.subarray(at, at + n), size); size += n; at += n;
        continue;
      }
      let literals, distances;
      if (kind === 1) {
        literals = table(Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8)));
        distances = table(new Array(30).fill(5));
      } else {
        const nl = need(5) + 257, nd = need(5) + 1, nc = need(4) + 4, lengths = new Array(19).fill(0);
        for (let i = 0; i < nc; i++) lengths[order[i]] = need(3);
        const codes = table(lengths), all = [];
        while (all.length < nl + nd) {
          const s = read(codes);
          if (s < 16) all.push(s);
          else for (let n = s === 16 ? 3 + need(2) : s === 17 ? 3 + need(3) : 11 + need(7), v = s === 16 ? all[all.length - 1] : 0; n > 0; n--) all.push(v);
        }
        literals = table(all.slice(0, nl)); distances = table(all.slice(nl));
      }
      for (let s = read(literals); s !== 256; s = read(literals)) {
        room(258);
        if (s < 256) { out[size++] = s; continue; }
        const n = lengthBase[s - 257] + need(lengthMore[s - 257]), d = read(distances);
        const far = farBase[d] + need(d < 4 ? 0 : (d >> 1) - 1);
        for (let i = 0; i < n; i++, size++) out[size] = out[size - far];
      }
    }
    return out.subarray(0, size);
  }

  async function unpack(packed) {
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    if (typeof DecompressionStream === 'undefined') return JSON.parse(new TextDecoder().decode(inflate(bytes)));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).json();
  }

  function explore(data) {
    const form = $('filters'), control = (name) => form.elements.namedItem(name);
    const fieldAt = new Map(data.fields.map((f, i) => [f.key, i]));
    const zh = (code) => (code in data.names ? data.names[code] : code);
    const list = (v) => (Array.isArray(v) ? v : [v]);
    const same = (a, b) => (Array.isArray(a) ? a.length === b.length && a.every((x, i) => x === b[i]) : a === b);
    const parts = ['kind', 'types', 'emotion', 'risk'].map((k) => fieldAt.get(k)); // of "right as a whole"

    // right says whether an answer is: of one field, or as a whole. undefined
    // where the question does not arise.
    const right = (example, answer, field) => {
      if (!answer || answer.e) return undefined;
      if (example.y && answer.y) return field < 0 ? parts.every((i) => same(example.y[i], answer.y[i])) : same(example.y[field], answer.y[field]);
      return field < 0 ? answer.k : undefined;
    };
    const equal = (a, b, field) => {
      if (!a.y || !b.y) return JSON.stringify([a.a, a.r, a.d]) === JSON.stringify([b.a, b.r, b.d]);
      return field < 0 ? a.y.every((v, i) => same(v, b.y[i])) : same(a.y[field], b.y[field]);
    };
    const change = (i, system, field) => {
      const now = data.now[system][i], old = data.old && data.old[system] && data.old[system][i];
      if (!now || !old || now.e || old.e) return '';
      const was = right(data.examples[i], old, field), is = right(data.examples[i], now, field);
      if (is && was === false) return 'fixed';
      if (was && is === false) return 'broken';
      return equal(now, old, field) ? '' : is ? 'changed' : 'moved';
    };

    const options = (name, values) => {
      const select = control(name), now = select.value;
      select.replaceChildren(...values.map(([value, text]) => el('option', { value }, text)));
      select.value = values.some(([v]) => v === now) ? now : values[0][0];
    };
    options('suite', [['', '全部'], ...Object.entries(data.suites)]);
    options('system', data.systems.map((s, i) => [String(i), s]));
    options('field', [['', '整体'], ...data.fields.map((f) => [f.key, f.name])]);
    options('slice', [['', '全部'], ...data.slices.map((_, i) => [String(i), data.slice_names[i]])]);
    const errors = [...new Set(data.now.flat().filter((a) => a && a.e).map((a) => a.e))].sort();
    options('error', [['', '全部'], ...errors.map((e) => [e, e])]);
    // labels of the chosen field, as they occur
    const labels = () => {
      const field = fieldAt.get(control('field').value);
      const gold = new Set(), answer = new Set();
      if (field !== undefined) {
        for (const e of data.examples) if (e.y) list(e.y[field]).forEach((l) => gold.add(l));
        for (const answers of data.now) for (const a of answers) if (a && a.y) list(a.y[field]).forEach((l) => answer.add(l));
      }
      // The empty label is one like any other, so "all" needs a word of its own.
      const named = (set) => [['*', field === undefined ? '先选标签' : '全部'], ...[...set].sort().map((l) => [l, zh(l)])];
      options('gold', named(gold)); options('answer', named(answer));
      control('gold').disabled = control('answer').disabled = field === undefined;
    };
    labels();
    const haystack = data.examples.map((e) => `${e.i}\n${e.h}\n${e.g || ''}\n${(e.m || []).map((m) => m[1]).join('\n')}`.toLowerCase());

    let kept = [], page = 0, shown = -1;
    function filter() {
      const system = Number(control('system').value), key = control('field').value, field = key ? fieldAt.get(key) : -1;
      const suite = control('suite').value, state = control('state').value, gold = control('gold').value, answer = control('answer').value;
      const slice = control('slice').value, error = control('error').value, words = control('text').value.trim().toLowerCase();
      const changed = control('change') ? control('change').value : '';
      kept = [];
      data.examples.forEach((e, i) => {
        const a = data.now[system][i];
        if (!a || suite && e.s !== suite || error && a.e !== error || words && !haystack[i].includes(words)) return;
        if (slice && !e.l.includes(Number(slice))) return;
        if (state === 'error' ? !a.e : state && right(e, a, field) !== (state === 'right')) return;
        if (gold !== '*' && !(e.y && list(e.y[field]).includes(gold))) return;
        if (answer !== '*' && !(a.y && list(a.y[field]).includes(answer))) return;
        if (changed) {
          const c = change(i, system, field);
          if (changed === 'changed' ? !c : c !== changed) return;
        }
        kept.push(i);
      });
      page = 0;
      draw();
    }
    function draw() {
      const pages = Math.max(1, Math.ceil(kept.length / perPage));
      page = Math.min(Math.max(page, 0), pages - 1);
      $('count').textContent = `${kept.length} 个样本`;
      $('page').textContent = `${page + 1} / ${pages}`;
      $('previous').disabled = page === 0; $('next').disabled = page === pages - 1;
      $('rows').replaceChildren(...kept.slice(page * perPage, (page + 1) * perPage).map(row));
    }
    const tags = (values, other, of, off) => list(values).map((v) => el('span', { class: other && !other.includes(v) ? `tag ${off || 'wrong'}` : 'tag' }, of ? of(v) : zh(v)));
    // brief is what a row shows of labels: one field, or those of the whole.
    const brief = (y, other, field, off) => (field < 0 ? parts : [field])
      .flatMap((i) => {
        const values = list(y[i]).filter((v) => v !== '' || field >= 0);
        return tags(values, other && list(other[i]), (v) => (data.fields[i].key === 'risk' ? '风险' : '') + zh(v), off);
      });
    const numbers = (values) => Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, 4).map(([k, v]) => el('span', { class: 'tag' }, `${data.values[k] || k} ${v}`));
    function row(i) {
      const e = data.examples[i], system = Number(control('system').value), a = data.now[system][i];
      const key = control('field').value, field = key ? fieldAt.get(key) : -1, ok = right(e, a, field);
      const was = data.old && data.old.length ? { fixed: ' · 修好', broken: ' · 弄坏', moved: ' · 换了一种错', changed: ' · 变了' }[change(i, system, field)] || '' : '';
      const result = a.e ? el('span', { class: 'miss' }, `失败 ${a.e}`) : ok === undefined ? '—' : el('span', { class: ok ? 'hit' : 'miss' }, ok ? '✓ 对' : '✗ 错');
      return el('tr', null,
        el('th', { scope: 'row' }, el('button', { type: 'button', class: 'link', onclick: () => open(i) }, e.i), e.m && e.m.length ? el('small', null, clip(e.m[0][1])) : null),
        el('td', null, data.suites[e.s] || e.s), el('td', null, result, was),
        el('td', null, e.y ? brief(e.y, a.y, field, 'lost') : '—'),
        el('td', null, a.y ? brief(a.y, e.y, field) : a.a ? numbers(a.a) : '—'));
    }
    const clip = (text) => { const c = Array.from(text.slice(0, 80)); return c.length > 24 ? c.slice(0, 24).join('') + '…' : c.join(''); };

    // marked puts the words that an answer rests on into <mark>. Places count
    // code points, not the units of a string.
    function marked(text, spans) {
      const runes = Array.from(text), out = [];
      const edges = [...new Set([0, runes.length, ...spans.flatMap((s) => [s[3], s[4]])])].filter((x) => x >= 0 && x <= runes.length).sort((a, b) => a - b);
      for (let k = 0; k + 1 < edges.length; k++) {
        const piece = runes.slice(edges[k], edges[k + 1]).join(''), over = spans.filter((s) => s[3] <= edges[k] && s[4] >= edges[k + 1]);
        out.push(over.length ? el('mark', { title: [...new Set(over.map((s) => zh(s[1])))].join('、') }, piece) : piece);
      }
      return out;
    }
    const percent = (p) => (p === undefined ? '' : ` ${Math.round(100 * p)}%`);
    const probability = { kind: 0, emotion: 1, style: 2, outcome: 3 };
    function said(a, f, i, gold) {
      if (!a || !a.y) return a && a.e ? `失败 ${a.e}` : '—';
      if (f.set && !a.y[i].length) return gold.length ? el('span', { class: 'tag wrong' }, '无') : '无';
      const shares = tags(a.y[i], list(gold), (v) => zh(v) + (f.key === 'types' ? percent((a.t || [])[(a.o || []).indexOf(v)]) : f.key in probability ? percent(a.p[probability[f.key]]) : ''));
      if (f.key === 'risk') shares.push(`高风险概率${percent(a.p[4])}`);
      return shares;
    }
    function open(i) {
      const e = data.examples[i], body = [];
      shown = i;
      $('detail-title').textContent = `${e.i} · ${data.suites[e.s] || e.s}`;
      const system = Number(control('system').value), now = data.now[system][i], old = data.old && data.old.length ? data.old[system][i] : undefined;
      body.push(el('p', { class: 'hint' }, `系统 ${data.systems[system]} · 哈希 ${e.h}${e.g ? ` · 会话 ${e.g}` : ''}${now && now.ms ? ` · ${now.ms} 毫秒` : ''}`, el('br'), ...e.l.map((l) => el('span', { class: 'tag' }, data.slice_names[l]))));
      if (e.m && e.m.length) {
        const spans = (now && now.x) || [];
        body.push(el('h3', null, spans.length ? '原文（标出系统的依据）' : '原文'), el('ol', { class: 'talk' }, e.m.map(([role, text], k) => el('li', { class: role }, el('b', null, roles[role] || role), ...marked(text, spans.filter((s) => s[2] === k))))));
      }
      if (e.y) {
        const before = old && old.y;
        body.push(el('h3', null, '标注和答案'), el('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': '标注和答案' }, el('table', { class: 'plain' }, el('caption', { class: 'hidden' }, '标注和答案'),
          el('thead', null, el('tr', null, ...['标签', '标注', `答案（${data.run}）`].concat(before ? [`之前（${data.before}）`] : []).map((t) => el('th', { scope: 'col' }, t)))),
          el('tbody', null, data.fields.map((f, k) => el('tr', null, el('th', { scope: 'row' }, f.name),
            el('td', null, f.set && !e.y[k].length ? '无' : tags(e.y[k])), el('td', null, said(now, f, k, e.y[k])), before ? el('td', null, said(old, f, k, e.y[k])) : null))))));
      }
      if (now && now.x && !(e.m && e.m.length)) {
        body.push(el('h3', null, '依据的位置'), el('p', { class: 'hint' }, now.x.map(([, code, m, from, to]) => `${zh(code)}：第 ${m + 1} 条消息第 ${from + 1}–${to} 字`).join('；')));
      }
      if (e.v) {
        const share = (v, name) => el('tr', null, el('th', { scope: 'row' }, name), ...v.map((x) => el('td', null, x.toFixed(2))));
        body.push(el('h3', null, '满意度的分布'), el('table', { class: 'plain' }, el('thead', null, el('tr', null, el('td'), ...[-2, -1, 0, 1, 2].map((x) => el('th', { scope: 'col' }, String(x))))), el('tbody', null, share(e.v, '标注'), now && now.d ? share(now.d, '现在') : null, old && old.d ? share(old.d, '之前') : null)));
      }
      if (now && now.a) {
        body.push(el('h3', null, '数字'), el('table', { class: 'plain' }, el('thead', null, el('tr', null, el('th', { scope: 'col' }, '数字'), el('th', { scope: 'col' }, '现在'), old && old.a ? el('th', { scope: 'col' }, '之前') : null)),
          el('tbody', null, Object.keys(now.a).sort().map((k) => el('tr', null, el('th', { scope: 'row' }, data.values[k] || k), el('td', null, String(now.a[k])), old && old.a ? el('td', null, k in old.a ? String(old.a[k]) : '—') : null)))));
      }
      if (now && now.r) {
        body.push(el('h3', null, '找到的案例'), el('table', { class: 'plain' }, el('thead', null, el('tr', null, ...['名次', '案例', '分数'].concat(e.q ? ['判的等级'] : []).concat(old && old.r ? ['之前'] : []).map((t) => el('th', { scope: 'col' }, t)))),
          el('tbody', null, now.r.map(([id, score], k) => el('tr', null, el('th', { scope: 'row' }, String(k + 1)), el('td', null, id), el('td', null, String(score)), e.q ? el('td', null, id in e.q ? String(e.q[id]) : '未判') : null, old && old.r ? el('td', null, old.r[k] ? old.r[k][0] : '—') : null)))));
      }
      const others = data.systems.map((s, k) => [s, data.now[k][i], k]).filter(([, a, k]) => a && k !== system);
      if (e.y && others.length) {
        body.push(el('h3', null, '其他系统'), el('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': '其他系统的答案' }, el('table', { class: 'plain' }, el('tbody', null, others.map(([s, a]) => el('tr', null, el('th', { scope: 'row' }, s), el('td', null, a.y ? brief(a.y, e.y, -1) : `失败 ${a.e}`)))))));
      }
      $('detail-body').replaceChildren(...body);
      const at = kept.indexOf(i);
      $('earlier').disabled = at <= 0; $('later').disabled = at < 0 || at >= kept.length - 1;
      if (!$('detail').open) $('detail').showModal();
      $('detail').scrollTop = 0;
    }
    const step = (by) => { const at = kept.indexOf(shown) + by; if (at >= 0 && at < kept.length) open(kept[at]); };
    $('close').addEventListener('click', () => $('detail').close());
    $('earlier').addEventListener('click', () => step(-1));
    $('later').addEventListener('click', () => step(1));
    $('detail').addEventListener('click', (e) => { if (e.target === $('detail')) $('detail').close(); });
    $('previous').addEventListener('click', () => { page--; draw(); });
    $('next').addEventListener('click', () => { page++; draw(); });
    form.addEventListener('submit', (e) => e.preventDefault());
    form.addEventListener('input', (e) => { if (e.target.name === 'field') { control('gold').value = control('answer').value = '*'; labels(); } filter(); });
    form.addEventListener('reset', () => setTimeout(() => { labels(); filter(); }));

    // choose sets the filters from another part of the page and goes there.
    function choose(values) {
      form.reset();
      for (const name of ['suite', 'system', 'field']) if (name in values) control(name).value = values[name];
      labels();
      for (const [name, value] of Object.entries(values)) control(name).value = value;
      filter();
      $('explorer').scrollIntoView();
      $('explorer-title').focus({ preventScroll: true });
    }
    const picked = (section) => String(data.systems.indexOf(section.querySelector('[data-pick] input:checked').value));
    document.addEventListener('click', (event) => {
      const b = event.target.closest('button');
      if (!b) return;
      if (b.dataset.gold !== undefined) choose({ suite: 'triage', system: picked($('confusion')), field: b.closest('table').dataset.field, gold: b.dataset.gold, answer: b.dataset.answer });
      if (b.dataset.change) choose({ suite: 'triage', system: picked($('changes')), field: b.dataset.field, change: b.dataset.change });
      if (b.dataset.open) { const at = data.examples.findIndex((e) => e.s === 'retrieval' && e.i === b.dataset.open); if (at >= 0) open(at); }
    });
    filter();
  }

  unpack($('data').content.textContent).then(explore).catch((e) => { $('count').textContent = `读不出逐条数据：${e.message}`; });
})();
