"use strict";
// The page of the triage service. Everything from a conversation or a case is
// put on the page as text, never as markup. Spans count Unicode code points,
// so texts are cut as arrays of code points, not as UTF-16 strings.

const $ = (id) => document.getElementById(id);

// el makes an element; children may be nodes, strings, null or lists of them.
function el(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false && c !== ""));
  return node;
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const samples = [
  ["自动续费", `客户：你好，我这个月话费怎么多了 25 块？
客服：您好，查询到您 3 月 2 日开通了“视频畅享包”，每月 25 元。
客户：我从来没开过这个东西！谁给我开的？
客服：系统显示是通过短信确认开通的，建议您留意手机短信。
客户：什么短信，我根本没收到。上个月打过一次电话，你们说给我退，到现在一分钱没见着😡
客服：这边需要再核实一下，请您耐心等待。
客户：还等？三个月一共扣了 75，今天必须给我退了，不然我就打 12315，工信部也投诉，你们看着办`],
  ["破损补发", `客户：在吗
客服：您好，很高兴为您服务，请问有什么可以帮您？
客户：昨天收到的养生壶，打开一看玻璃盖是碎的，里面全是渣子
客户：订单号 DD20260315007，照片已经发了
客服：非常抱歉给您带来不便，请问您希望怎么处理呢？
客户：退货太麻烦了，我妈这周末生日要用，能不能先补发一个盖子？麻烦快一点，谢谢`],
  ["理财误导", `[09:12] 客户：我要反映一个情况，我爸今年 71 了，上礼拜去你们网点存 10 万块定期
[09:12] 客户：柜台那个小姑娘跟他说有个“利息更高的存款”，结果拿回来一看是保险，五年才能取
[09:14] 客服：您好，请问老人家当时有签字确认吗？
[09:15] 客户：签了又怎么样？他眼睛都看不清，全程没人跟他说这是保险，这不是欺负老人吗
[09:16] 客服：产品说明书上有写的哦
[09:18] 客户：我就两个要求：第一，全额退保，本金一分不能少；第二，书面说明你们的销售流程。三天内没有答复，我找银保监会，录音我都留着`],
];

// What codes are called. Names come from /v1/taxonomy; until it has answered,
// and for a code it does not know, the code itself is shown.
let names = {};
const say = (field, code) => (names[field] && names[field][code]) || code || "—";
const sureFrom = 0.6; // below: 待确认, as in the command line's view
const percent = (p) => `${Math.round(100 * p)}%`;
const riskTone = { high: "red", medium: "amber", low: "green" };
const priorityTone = { P0: "red", P1: "red", P2: "amber", P3: "plain" };
const roleNames = { customer: "客户", agent: "客服", bot: "机器人", system: "系统" };
const componentNames = { encoder: "句向量", retrieval: "案例检索", suggest: "回复草稿", llm: "大模型", cases: "案例库", model: "分析（权重和词典）", weights: "权重", lexicon: "词典" };
const reasonNames = { fast_mode: "快速模式不用", disabled: "未启用", failed: "出错", timeout: "超时", loading: "加载中" };

let current = null; // {transcript, analysis, style}
let running = null; // AbortController of the request under way

// --- requests

class ProblemError extends Error {
  constructor(problem) {
    super(problem.detail || problem.title || "请求失败");
    this.problem = problem;
  }
}

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (err) {
    if (err.name === "AbortError") throw err;
    throw new ProblemError({ code: "unreachable", title: "连不上服务", detail: "连不上服务，请确认 qingting serve 还在运行，然后重试" });
  }
  const text = await response.text();
  let body = null;
  try { body = JSON.parse(text); } catch { /* not JSON: a proxy's page, perhaps */ }
  if (!response.ok || body === null) {
    throw new ProblemError(body && body.code ? body : { code: `http_${response.status}`, title: "请求失败", detail: `服务返回了 ${response.status}，请稍后重试` });
  }
  return { body, text };
}

async function analyze() {
  const text = $("text").value;
  if (!text.trim()) {
    show(waiting());
    $("text").focus();
    return;
  }
  if (running) running.abort();
  const mine = new AbortController();
  running = mine;
  const mode = document.querySelector("input[name=mode]:checked").value;
  $("go").disabled = true;
  show(loading());
  try {
    // The server reads the chat, so that message numbers here are its own.
    const read = await call("/v1/transcripts/read", { method: "POST", headers: { "Content-Type": "text/plain; charset=utf-8" }, body: text, signal: mine.signal });
    const answer = await call(`/v1/analyze?mode=${mode}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: read.text, signal: mine.signal });
    current = { transcript: read.body, analysis: answer.body };
    render(answer.text);
  } catch (err) {
    if (err.name === "AbortError") return;
    show(failure(err.problem || { code: "page_error", title: "页面出错", detail: "页面处理结果时出错，请刷新后重试" }));
    if (!err.problem) console.error(err);
  } finally {
    if (running === mine) {
      running = null;
      $("go").disabled = false;
    }
  }
}

// --- states

function show(node) {
  $("panel").hidden = true;
  $("state").replaceChildren(node);
}

function waiting() {
  return el("div", { class: "card empty" }, el("b", {}, "还没有会话"), "粘贴一段聊天记录再按“分析”，或者点一个示例。");
}

function loading() {
  $("live").textContent = "正在分析";
  return el("div", { class: "card", "aria-busy": "true" }, el("h2", {}, "正在分析…"), [92, 64, 78, 40, 85].map((w) => {
    const bone = el("div", { class: "bone" });
    bone.style.width = `${w}%`;
    return bone;
  }));
}

function failure(problem) {
  $("live").textContent = `出错：${problem.detail}`;
  const retry = problem.status === 503 || problem.code === "unreachable";
  return el("div", { class: "card", role: "alert" },
    el("div", { class: "banner bad" }, el("b", {}, problem.title || "请求失败")),
    el("p", { class: "note" }, problem.detail),
    el("p", { class: "note" }, `代码 ${problem.code}`, problem.instance ? ` · ${problem.instance}` : ""),
    el("div", { class: "chips" },
      retry && el("button", { class: "quiet", type: "button", onclick: analyze }, "重试"),
      el("button", { class: "quiet", type: "button", onclick: edit }, "修改会话")));
}

// --- transcript with highlights

// marksOf collects what is highlighted, by message.
function marksOf(a) {
  const marks = new Map();
  const add = (span, strong, title) => {
    if (!(span.end > span.start)) return;
    if (!marks.has(span.message)) marks.set(span.message, []);
    marks.get(span.message).push({ start: span.start, end: span.end, strong, title });
  };
  for (const s of a.risk.signals) add(s, true, say("signals", s.code));
  for (const t of a.types) for (const s of t.evidence || []) add(s, false, say("types", t.code));
  for (const c of a.claims) for (const s of c.evidence || []) add(s, false, say("claims", c.code));
  return marks;
}

// marked cuts a text at every border of a highlight. Pieces know the
// highlights they lie in, because highlights may overlap.
function marked(text, marks) {
  const points = Array.from(text);
  const cuts = [...new Set([0, points.length, ...marks.flatMap((m) => [m.start, m.end])])].filter((c) => c >= 0 && c <= points.length).sort((x, y) => x - y);
  const out = [];
  for (let i = 0; i + 1 < cuts.length; i++) {
    const piece = points.slice(cuts[i], cuts[i + 1]).join("");
    const over = marks.filter((m) => m.start <= cuts[i] && m.end >= cuts[i + 1]);
    if (!over.length) {
      out.push(piece);
      continue;
    }
    out.push(el("mark", {
      class: over.some((m) => m.strong) ? "strong" : "", title: [...new Set(over.map((m) => m.title))].join("、"),
      "data-start": cuts[i], "data-end": cuts[i + 1],
    }, piece));
  }
  return out;
}

function renderTalk() {
  const { transcript, analysis } = current;
  const marks = marksOf(analysis);
  $("talk-count").textContent = `${transcript.messages.length} 条消息`;
  $("talk-note").textContent = transcript.note || "";
  $("talk-note").hidden = !transcript.note;
  $("messages").replaceChildren(...transcript.messages.map((m, i) =>
    el("li", { class: `turn ${m.role}`, id: `m${i}` },
      el("span", { class: "who" }, `${i + 1} · ${roleNames[m.role] || m.role}`),
      el("div", { class: "said" }, marked(m.text, marks.get(i) || []) || "（空）"))));
  $("form").hidden = true;
  $("talk").hidden = false;
}

// jump scrolls to a span, or to a whole message, and marks it.
function jump(message, start, end) {
  const turn = $(`m${message}`);
  if (!turn) return;
  for (const node of document.querySelectorAll(".now")) node.classList.remove("now");
  const inside = [...turn.querySelectorAll("mark")].filter((m) => start !== undefined && Number(m.dataset.start) >= start && Number(m.dataset.end) <= end);
  void turn.offsetWidth; // so that a second click flashes again
  if (inside.length) inside.forEach((m) => m.classList.add("now"));
  else turn.classList.add("now");
  const smooth = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  (inside[0] || turn).scrollIntoView({ behavior: smooth, block: "center" });
}

function edit() {
  $("form").hidden = false;
  $("talk").hidden = true;
  $("text").focus();
}

// --- parts of the panel

const tag = (tone, ...text) => el("span", { class: `tag tone-${tone}` }, ...text);
const unsure = (p) => p < sureFrom && tag("amber", "待确认");

function bar(p) {
  const fill = el("i", {});
  fill.style.width = percent(Math.max(0, Math.min(1, p)));
  return el("div", { class: "bar", "aria-hidden": "true" }, fill);
}

function chip(label, span, strong) {
  return el("button", { type: "button", class: strong ? "chip strong" : "chip", title: `第 ${span.message + 1} 条消息，点击查看原文`, onclick: () => jump(span.message, span.start, span.end) },
    label && el("b", {}, label), el("q", {}, span.quote));
}

function card(title, extra, ...content) {
  return el("section", { class: "card" }, el("h2", {}, title, extra), ...content);
}

function banners(a) {
  const out = [];
  if (a.mode === "degraded") {
    const parts = a.unavailable.filter((u) => u.code !== "disabled").map((u) => `${componentNames[u.component] || u.component}（${reasonNames[u.code] || u.code}${u.since ? `，自 ${u.since}` : ""}）`);
    out.push(el("p", { class: "banner" }, `降级：${parts.join("、")}没有参与，其余结果可用。`));
  }
  if (a.risk.conflict) out.push(el("p", { class: "banner" }, "信号冲突：规则与模型的判断不一致，按较高的风险处理，请人工确认。"));
  return out;
}

function verdict(a) {
  const primary = a.primary || (a.types[0] && a.types[0].code);
  return el("section", { class: `card verdict tone-${priorityTone[a.priority] || "plain"}`, "aria-label": "结论" },
    el("div", { class: "level" }, el("b", {}, a.priority), el("span", {}, say("priorities", a.priority))),
    el("div", { class: "what" }, primary ? `${say("kinds", a.kind.code)} · ${say("types", primary)}` : say("kinds", a.kind.code)),
    el("div", { class: "also" }, `把握 ${percent(a.kind.confidence)}`, unsure(a.kind.confidence),
      (a.routes || []).map((r) => tag("red", `转${say("routes", r)}`)),
      tag(riskTone[a.risk.level] || "plain", `升级风险${say("risk_levels", a.risk.level)}`)));
}

function risk(a) {
  const needle = el("i", {});
  needle.style.left = percent(a.risk.score);
  const seen = a.risk.signals.map((s) => chip(say("signals", s.code), s, true));
  return card("升级风险", a.risk.conflict && tag("amber", "信号冲突"),
    el("div", { class: "big" }, tag(riskTone[a.risk.level] || "plain", say("risk_levels", a.risk.level)), el("small", {}, `升级概率 ${percent(a.risk.score)}`)),
    el("div", { class: "meter", role: "meter", "aria-label": "升级概率", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * a.risk.score) }, needle),
    el("div", { class: "scale", "aria-hidden": "true" }, el("span", {}, "低"), el("span", {}, "高")),
    seen.length ? el("div", { class: "chips" }, seen) : el("p", { class: "note" }, "没有发现风险信号"));
}

function emotion(a) {
  const e = a.emotion;
  const strength = ["", "轻微", "明显", "强烈"][e.intensity] || "";
  return card("情绪", null,
    el("div", { class: "big" }, say("emotions", e.code), el("small", {}, [strength, percent(e.confidence)].filter(Boolean).join(" · ")), unsure(e.confidence)),
    e.by_message.length > 1 ? course(e) : null,
    el("p", { class: "note" }, e.by_message.length > 1 ? `趋势${say("trends", e.trend)}${e.peak && e.peak.intensity > 0 ? `，第 ${e.peak.message + 1} 条最强` : ""}` : "只有一条客户消息，看不出走势"));
}

// course draws intensity over the customer's messages; each point leads to
// its message.
function course(e) {
  const list = e.by_message, width = 320, height = 76, floor = 58, top = 12;
  const x = (i) => 12 + (i * (width - 24)) / (list.length - 1);
  const y = (m) => floor - (m.intensity * (floor - top)) / 3;
  const points = list.map((m, i) => `${x(i).toFixed(1)},${y(m).toFixed(1)}`);
  const picture = svg("svg", { class: "course", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "情绪强度走势" },
    ...[0, 1, 2, 3].map((k) => svg("line", { x1: 0, x2: width, y1: y({ intensity: k }), y2: y({ intensity: k }) })),
    svg("path", { class: "area", d: `M${x(0)},${floor} L${points.join(" L")} L${x(list.length - 1)},${floor} Z` }),
    svg("path", { d: `M${points.join(" L")}` }));
  const every = Math.ceil(list.length / 12);
  list.forEach((m, i) => {
    const text = `第 ${m.message + 1} 条：${say("emotions", m.code)}，强度 ${m.intensity}`;
    const peak = e.peak && e.peak.message === m.message && m.intensity > 0;
    if (list.length <= 60 || peak) {
      const dot = svg("circle", { cx: x(i), cy: y(m), r: list.length > 24 ? 3 : 4.5, class: peak ? "peak" : "", tabindex: 0, role: "button", "aria-label": text }, svg("title", {}, text));
      dot.addEventListener("click", () => jump(m.message));
      dot.addEventListener("keydown", (ev) => { if (ev.key === "Enter" || ev.key === " ") { ev.preventDefault(); jump(m.message); } });
      picture.append(dot);
    }
    if (i % every === 0) picture.append(svg("text", { x: x(i), y: height - 3 }, String(m.message + 1)));
  });
  return picture;
}

function types(a) {
  if (!a.types.length) return null;
  const low = a.types[0].confidence < sureFrom;
  return card("投诉类型", low && tag("amber", "待确认"), el("ul", { class: "types" }, a.types.map((t) =>
    el("li", { class: t.code === a.primary ? "" : "minor" },
      el("span", { class: "name", title: t.code }, say("types", t.code)), bar(t.confidence), el("span", { class: "num" }, percent(t.confidence)),
      (t.evidence || []).length ? el("div", { class: "chips" }, t.evidence.map((s) => chip("", s))) : null))));
}

function facts(a) {
  const rows = [];
  const row = (label, ...content) => rows.push(el("dt", {}, label), el("dd", {}, content));
  if (a.claims.length) {
    row("诉求", el("div", { class: "chips" }, a.claims.map((c) => {
      const label = say("claims", c.code) + (c.amount !== undefined && c.amount !== null ? ` ${c.amount} 元` : "");
      return (c.evidence || []).length ? chip(label, c.evidence[0]) : el("span", { class: "chip" }, el("b", {}, label), percent(c.confidence));
    })));
  }
  for (const e of a.expectations) {
    row("潜在期望", `${say("expectations", e.code)}，`, e.messages.map((m, i) => [i ? "、" : "", el("button", { type: "button", class: "quiet", onclick: () => jump(m) }, `第 ${m + 1} 条`)]), " 反复提到");
  }
  const seen = new Set();
  const slots = a.slots.filter((s) => !seen.has(`${s.kind} ${s.value}`) && seen.add(`${s.kind} ${s.value}`));
  if (slots.length) {
    row("事实", el("div", { class: "chips" }, slots.map((s) => el("button", { type: "button", class: "chip", title: `第 ${s.message + 1} 条消息`, onclick: () => jump(s.message, s.start, s.end) },
      el("b", {}, say("slots", s.kind)), s.kind === "amount" ? `${s.value} 元` : s.value))));
  }
  row("客户类型", `${say("styles", a.style.code)} ${percent(a.style.confidence)} `, unsure(a.style.confidence));
  if (a.responsibility.code) row("责任", `${say("responsibilities", a.responsibility.code)} `, a.responsibility.code !== "unclear" && percent(a.responsibility.confidence));
  row("进展", `${say("outcomes", a.outcome.code)} ${percent(a.outcome.confidence)} `, unsure(a.outcome.confidence));
  if (a.satisfaction) row("预计满意度", votes(a.satisfaction));
  return card("诉求与事实", null, el("dl", { class: "facts" }, rows));
}

function votes(s) {
  const bars = ["-2", "-1", "0", "1", "2"].map((k) => {
    const p = s.distribution[k] || 0;
    const b = el("i", { title: `${k} 分：${percent(p)}` });
    b.style.height = `${Math.max(2, 40 * p)}px`;
    return b;
  });
  return [el("div", { class: "votes", role: "img", "aria-label": `平均 ${s.mean.toFixed(1)}，范围 −2 到 2` }, bars), el("div", { class: "scale" }, el("span", {}, "−2"), el("span", {}, `平均 ${s.mean.toFixed(1)}`), el("span", {}, "2"))];
}

function match(m, failed) {
  return el("article", { class: failed ? "case failed" : "case" },
    el("h3", {}, el("span", {}, failed ? `前车之鉴：${m.title}` : m.title), el("span", { class: "num", title: "同一类问题的概率" }, percent(m.score))),
    el("p", { class: "soft" }, m.problem),
    el("p", {}, failed && m.lesson ? `教训：${m.lesson}` : `做法：${m.solution}`),
    (m.why || []).length + (m.differs || []).length ? el("ul", {}, (m.why || []).map((w) => el("li", {}, w)), (m.differs || []).map((d) => el("li", { class: "differs" }, d))) : null);
}

function cases(a) {
  const status = a.retrieval.status;
  if (status === "unavailable") return card("相似案例", tag("amber", "不可用"), el("p", { class: "note" }, "案例检索没有参与这次分析。"));
  if (!a.cases.length && !a.failed_case) return card("相似案例", null, el("p", { class: "note" }, "无可靠相似案例"));
  return card("相似案例", null, a.cases.length ? a.cases.map((m) => match(m, false)) : el("p", { class: "note" }, "无可靠相似案例"), a.failed_case ? match(a.failed_case, true) : null);
}

function drafts(a) {
  if (!a.suggestions.length) {
    // A complaint always gets drafts; without one they were held back.
    const held = a.kind.code === "complaint" || (a.unavailable || []).some((u) => u.component === "suggest");
    return card("回复草稿", held && tag("amber", "不可用"), el("p", { class: "note" }, held ? "草稿没有通过检查，请人工回复。" : "还说得太少，没有草稿。"));
  }
  const box = el("div", { class: "draft" });
  const styleNames = { rational: "理性版", emotional: "情绪版" };
  const choose = (s) => {
    for (const b of toggle.querySelectorAll("input")) b.checked = b.value === s.id;
    const copied = el("button", { class: "quiet solid", type: "button", onclick: () => copy(s.text, copied) }, "复制草稿");
    const broken = (s.checks || []).filter((c) => !c.passed);
    box.replaceChildren(
      s.restate ? el("p", { class: "note" }, `复述（${Array.from(s.restate).length}/30 字）：${s.restate}`) : "",
      el("div", { class: "text" }, s.text),
      // Usually the text lists the steps itself: not twice.
      (s.steps || []).some((t) => !s.text.includes(t)) ? el("ol", { "aria-label": "步骤" }, s.steps.map((t) => el("li", {}, t))) : "",
      el("div", { class: "also" },
        s.remedy ? [tag("blue", say("remedies", s.remedy.code) + (s.remedy.amount !== undefined && s.remedy.amount !== null ? ` ${s.remedy.amount} 元` : "")), s.remedy.authority === "approval" ? tag("amber", "需审批，不能先承诺") : tag("green", "一线可直接办理")] : null,
        s.owner ? el("span", {}, `负责：${s.owner}`) : null, s.due || s.due_at ? el("span", {}, `时限：${s.due || new Date(s.due_at).toLocaleString("zh-CN")}`) : null,
        broken.length ? tag("red", `未通过检查：${broken.map((c) => c.rule).join("、")}`) : (s.checks || []).length ? tag("green", `${s.checks.length} 项话术检查通过`) : null),
      el("div", { class: "chips" }, copied));
  };
  const toggle = el("div", { class: "segment", role: "radiogroup", "aria-label": "草稿风格" }, a.suggestions.map((s) =>
    el("label", {}, el("input", { type: "radio", name: "draft", value: s.id, onchange: () => choose(s) }), el("span", {}, (styleNames[s.style] || s.style) + (s.default ? " · 推荐" : "")))));
  choose(a.suggestions.find((s) => s.default) || a.suggestions[0]);
  return card("回复草稿", tag("plain", "由人确认后发送"), toggle, box);
}

function render(text) {
  const a = current.analysis;
  renderTalk();
  // Each message of the customer that counts has an emotion: unfinished speech
  // recognition and empty messages do not.
  const talked = a.emotion.by_message.length > 0;
  $("raw").textContent = JSON.stringify(JSON.parse(text), null, 2);
  $("meta").textContent = `${{ full: "完整模式", fast: "快速模式", degraded: "降级" }[a.mode] || a.mode} · ${a.latency_ms.total.toFixed(0)} ms`;
  $("view").replaceChildren(...(talked ? [
    ...banners(a), verdict(a), el("div", { class: "two" }, risk(a), emotion(a)), types(a), drafts(a), facts(a), cases(a),
  ].filter(Boolean) : [el("div", { class: "card empty" }, el("b", {}, "客户还没有说话"), "等客户说了什么再判断，现在不作猜测。")]));
  $("state").replaceChildren();
  $("panel").hidden = false;
  $("live").textContent = talked ? `分析完成：${a.priority} ${say("priorities", a.priority)}，升级风险${say("risk_levels", a.risk.level)}` : "客户还没有说话";
  // On a narrow screen the result lies below the transcript.
  if (matchMedia("(max-width: 860px)").matches) $("result").scrollIntoView({ block: "start" });
}

async function copy(text, button) {
  const before = button.textContent;
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // no permission, or not a secure address
    const area = el("textarea", { class: "hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = done ? "已复制" : "复制失败，请手动选择";
  setTimeout(() => { button.textContent = before; }, 1600);
}

// --- beginning

function tabs() {
  const both = [$("tab-view"), $("tab-json")];
  const select = (tab) => {
    for (const t of both) {
      const on = t === tab;
      t.setAttribute("aria-selected", String(on));
      t.tabIndex = on ? 0 : -1;
      $(t.getAttribute("aria-controls")).hidden = !on;
    }
  };
  for (const t of both) {
    t.addEventListener("click", () => select(t));
    t.addEventListener("keydown", (ev) => {
      if (ev.key !== "ArrowLeft" && ev.key !== "ArrowRight") return;
      const other = both[1 - both.indexOf(t)];
      select(other);
      other.focus();
    });
  }
  $("copy-json").addEventListener("click", () => copy($("raw").textContent, $("copy-json")));
}

async function service() {
  const line = $("service");
  try {
    const { body } = await call("/readyz");
    const busy = body.components.filter((c) => c.status === "loading");
    line.replaceChildren(el("span", { class: busy.length ? "dot busy" : "dot" }), busy.length ? `可用，${busy.map((c) => componentNames[c.component] || c.component).join("、")}加载中` : "服务正常");
    line.title = body.components.map((c) => `${componentNames[c.component] || c.component}：${c.detail || c.status}`).join("\n");
    if (busy.length) setTimeout(service, 3000);
  } catch (err) {
    line.replaceChildren(el("span", { class: "dot off" }), err.problem && err.problem.code === "draining" ? "服务正在停止" : "连不上服务");
    setTimeout(service, 5000);
  }
}

async function taxonomy() {
  try {
    const { body } = await call("/v1/taxonomy");
    for (const [field, list] of Object.entries(body)) {
      if (Array.isArray(list)) names[field] = Object.fromEntries(list.map((c) => [c.code, c.label]));
    }
  } catch { /* codes are shown instead of names */ }
}

function start() {
  $("samples").append("示例：", ...samples.map(([name, text]) => el("button", { type: "button", onclick: () => { $("text").value = text; analyze(); } }, name)));
  $("form").addEventListener("submit", (ev) => { ev.preventDefault(); analyze(); });
  $("text").addEventListener("keydown", (ev) => { if (ev.key === "Enter" && (ev.ctrlKey || ev.metaKey)) { ev.preventDefault(); analyze(); } });
  $("edit").addEventListener("click", edit);
  tabs();
  show(waiting());
  service();
  // ?sample=1 opens an example at once: for a link in a guide.
  const sample = samples[Number(new URLSearchParams(location.search).get("sample")) - 1];
  taxonomy().then(() => { if (sample) { $("text").value = sample[1]; analyze(); } });
}

start();
