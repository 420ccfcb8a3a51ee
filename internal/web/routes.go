package web

import (
	"context"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/hook"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
)

// route is one line of the table.
type route struct {
	method, path string
	permit       access.Permission
	says         string // one line of the interface's description
	bind         binding
	once         repeat // what an Idempotency-Key does
	long         bool   // a stream: a ticket opens it, and it does not count as a request
	json         bool   // set by typed: the gate reads the body
}

// routes is every address of the service.
func (s *Server) routes() []route {
	const get, post, put, del = "GET", "POST", "PUT", "DELETE"
	conversation, alert := "/v1/conversations/{id}", "/v1/alerts/{id}"
	return []route{
		{get, "/healthz", access.Public, "进程在运行", raw[none, answer[health]](s.healthz), never, false, false},
		{get, "/readyz", access.Public, "能不能接新请求，各部件怎样", raw[none, answer[readiness]](s.readyz), never, false, false},
		{get, "/openapi.json", access.Public, "接口说明", raw[none, none](s.openapi), never, false, false},

		{post, "/v1/analyze", access.Analyze, "分析一个会话，不保存", raw[analyzeInput, answer[qingting.Analysis]](s.analyze, "", "text/plain"), never, false, false},
		{post, "/v1/transcripts/read", access.Analyze, "把粘贴的聊天读成会话", raw[readInput, answer[readOutput]](s.readTranscript, "", "text/plain"), never, false, false},
		{post, "/v1/lint", access.Analyze, "检查一段回复", typed(s.lintText), never, false, false},
		{get, "/v1/taxonomy", access.Analyze, "全部代码和中文名", raw[none, answer[taxonomyOutput]](s.taxonomy), never, false, false},

		{post, "/v1/conversations", access.Ingest, "建立会话，可带消息；再送一次是 200", answering(raw[createInput, answer[ingestedOutput]](s.ingest), 201, 200, 202), stored, false, false},
		{get, "/v1/conversations", access.ReadTalk, "会话列表", typed(s.listConversations), never, false, false},
		{get, conversation, access.ReadTalk, "一个会话", typed(s.getConversation), never, false, false},
		{get, conversation + "/state", access.ReadTalk, "一个会话的全部：消息、分析、预警、承诺、时限", typed(s.getState), never, false, false},
		{post, conversation + "/messages", access.Ingest, "追加消息；没有新消息是 200", answering(raw[messagesInput, answer[ingestedOutput]](s.ingest), 201, 200, 202), stored, false, false},
		{get, conversation + "/messages", access.ReadTalk, "消息，按次序", typed(s.listMessages), never, false, false},
		{get, conversation + "/stream", access.Ingest, "WebSocket：逐句送入语音识别结果", answering(raw[streamInput, none](s.socket), 101), never, true, false},
		{get, conversation + "/analysis", access.ReadTalk, "最新的分析", typed(s.getAnalysis), never, false, false},
		{post, conversation + "/close", access.ServeTalk, "结束会话", typed(s.closeConversation), stored, false, false},
		{post, conversation + "/assign", access.AssignTalk, "分给客服或团队", typed(s.assign), stored, false, false},
		{get, conversation + "/labels", access.ReadTalk, "人工改过的标签", typed(s.getLabels), never, false, false},
		{put, conversation + "/labels", access.ServeTalk, "改标签；没写的恢复为分析结果", typed(s.putLabels), never, false, false},
		{get, conversation + "/handover", access.ReadTalk, "交接包", typed(s.getHandover), never, false, false},
		{get, conversation + "/promises", access.ReadTalk, "承诺", typed(s.listPromises), never, false, false},
		{post, conversation + "/promises/{promise}", access.ServeTalk, "承诺已兑现或作废", typed(s.settlePromise), stored, false, false},
		{get, conversation + "/feedback", access.ReadTalk, "对建议的反馈", typed(s.listFeedback), never, false, false},
		{post, conversation + "/suggestions/{suggestion}/feedback", access.ServeTalk, "一条建议用了没有", making(typed(s.suggestionFeedback)), stored, false, false},

		{get, "/v1/alerts", access.ReadAlerts, "预警列表", typed(s.listAlerts), never, false, false},
		{get, alert, access.ReadAlerts, "一条预警", typed(s.getAlert), never, false, false},
		{get, alert + "/history", access.ReadAlerts, "预警的经过", typed(s.alertHistory), never, false, false},
		{post, alert + "/claim", access.ActAlerts, "认领", typed(s.step(Live.Claim, false)), stored, false, false},
		{post, alert + "/start", access.ActAlerts, "开始处理", typed(s.step(Live.Start, false)), stored, false, false},
		{post, alert + "/resolve", access.ActAlerts, "解除", typed(s.step(Live.Resolve, true)), stored, false, false},
		{post, alert + "/dismiss", access.ActAlerts, "误报", typed(s.step(Live.Dismiss, true)), stored, false, false},
		{post, alert + "/escalate", access.EscalateAlert, "升级", typed(s.step(Live.Escalate, true)), stored, false, false},
		{post, alert + "/feedback", access.ActAlerts, "有用还是误报", typed(s.alertFeedback), stored, false, false},

		{get, "/v1/events", access.ReadTalk, "事件流（SSE），可从 Last-Event-ID 接着读", answering(raw[eventsInput, none](s.events, "text/event-stream"), 200), never, true, false},
		{post, "/v1/tickets", access.Known, "打开一个事件流用的一次性票据", making(typed(s.newTicket)), never, false, false},

		{get, "/v1/cases", access.ReadCases, "案例列表", typed(s.listCases), never, false, false},
		{post, "/v1/cases", access.WriteCases, "加入案例", making(typed(s.addCase)), stored, false, false},
		{post, "/v1/cases/search", access.ReadCases, "检索案例", typed(s.searchCases), never, false, false},
		{get, "/v1/cases/{id}", access.ReadCases, "一个案例", typed(s.getCase), never, false, false},
		{put, "/v1/cases/{id}", access.WriteCases, "替换案例", typed(s.changeCase), never, false, false},
		{del, "/v1/cases/{id}", access.WriteCases, "删除案例", typed(s.deleteCase), never, false, false},

		{post, "/v1/imports", access.Known, "导入会话（要 ingest）或案例（要 cases.write）：csv、xlsx、jsonl，可用 gzip 压缩，最多 64 MiB、1 万行", accepted(raw[importInput, answer[importJob]](s.addImport, "", mediaXLSX, mediaNDJSON)), never, false, false},
		{get, "/v1/imports", access.Known, "导入任务", typed(s.listImports), never, false, false},
		{get, "/v1/imports/{id}", access.Known, "一个导入任务", typed(s.getImport), never, false, false},
		{get, "/v1/imports/{id}/errors", access.Known, "导入的错误清单（csv）", raw[ByID, answer[string]](s.importErrors, "text/csv"), never, false, false},
		{post, "/v1/imports/{id}/cancel", access.Known, "取消导入；已写入的保留", typed(s.cancelImport), stored, false, false},
		{post, "/v1/adapters/chatwoot", access.Public, "Chatwoot 的 webhook；要有 ingest 用途的密钥", raw[chatwootInput, answer[chatwootOutput]](s.chatwoot), never, false, false},
		{get, "/v1/lexicon", access.Evaluate, "生效的规则；自己的规则可以试，还不能启用", typed(s.getLexicon), never, false, false},
		{post, "/v1/lexicon/preview", access.Evaluate, "在几句话上试规则", typed(s.previewLexicon), never, false, false},
		{post, "/v1/lexicon/backtest", access.Evaluate, "在已有的会话上试规则", accepted(typed(s.addBacktest)), stored, false, false},
		{get, "/v1/lexicon/backtests/{id}", access.Evaluate, "试的结果", typed(s.getBacktest), never, false, false},
		{get, "/v1/evaluations", access.Evaluate, "评测", typed(s.listEvaluations), never, false, false},
		{post, "/v1/evaluations", access.Evaluate, "用带标注的会话（jsonl）评测", accepted(raw[evaluationInput, answer[evaluationShown]](s.addEvaluation)), never, false, false},
		{get, "/v1/evaluations/{id}", access.Evaluate, "一次评测和它的数字", typed(s.getEvaluation), never, false, false},
		{get, "/v1/evaluations/{id}/report", access.Evaluate, "评测报告（网页）", raw[ByID, answer[string]](s.evaluationReport, "text/html"), never, false, false},

		{post, "/v1/session", access.Public, "登录", raw[loginInput, answer[access.Principal]](s.login), never, false, false},
		{del, "/v1/session", access.Public, "退出", raw[none, none](s.logout), never, false, false},
		{get, "/v1/session", access.Known, "我是谁，能做什么", typed(s.whoAmI), never, false, false},
		{get, "/v1/users", access.Administer, "用户", typed(s.listUsers), never, false, false},
		{post, "/v1/users", access.Administer, "加入用户", making(typed(s.addUser)), stored, false, false},
		{put, "/v1/users/{id}", access.Administer, "改用户；没写的不变", typed(s.changeUser), never, false, false},
		{get, "/v1/teams", access.ReadTeams, "团队", typed(s.listTeams), never, false, false},
		{post, "/v1/teams", access.Administer, "建立团队", making(typed(s.addTeam)), stored, false, false},
		{put, "/v1/teams/{id}", access.Administer, "改团队", typed(s.changeTeam), never, false, false},
		{del, "/v1/teams/{id}", access.Administer, "删除团队", typed(s.deleteTeam), never, false, false},
		{get, "/v1/keys", access.Administer, "API 密钥", typed(s.listKeys), never, false, false},
		{post, "/v1/keys", access.Administer, "新密钥，只显示这一次", making(typed(s.addKey)), secretly, false, false},
		{del, "/v1/keys/{id}", access.Administer, "停用密钥", typed(s.disableKey), never, false, false},

		{get, "/v1/webhooks", access.Integrate, "接收地址", typed(s.listEndpoints), never, false, false},
		{post, "/v1/webhooks", access.Integrate, "加入接收地址，签名密钥只显示这一次", making(typed(s.addEndpoint)), secretly, false, false},
		{get, "/v1/webhooks/{id}", access.Integrate, "一个接收地址", typed(s.getEndpoint), never, false, false},
		{put, "/v1/webhooks/{id}", access.Integrate, "改接收地址", typed(s.changeEndpoint), never, false, false},
		{del, "/v1/webhooks/{id}", access.Integrate, "删除接收地址", typed(s.deleteEndpoint), never, false, false},
		{get, "/v1/deliveries", access.Integrate, "投递记录", typed(s.listDeliveries), never, false, false},
		{post, "/v1/deliveries/replay", access.Integrate, "重新投递", typed(s.replay), stored, false, false},

		{get, "/", access.Public, "网页", raw[none, none](s.asset("page/index.html", "text/html; charset=utf-8")), never, false, false},
		{get, "/assets/app.js", access.Public, "", raw[none, none](s.asset("page/app.js", "text/javascript; charset=utf-8")), never, false, false},
		{get, "/assets/app.css", access.Public, "", raw[none, none](s.asset("page/app.css", "text/css; charset=utf-8")), never, false, false},
		{get, "/assets/icon.svg", access.Public, "", raw[none, none](s.asset("page/icon.svg", "image/svg+xml")), never, false, false},
	}
}

// Long reports whether a route answers for as long as its client listens.
func Long(route string) bool {
	return route == "/v1/events" || route == "/v1/conversations/:id/stream"
}

// Live is the state of conversations that go on; *live.Service is one, and its
// methods say what they do. It may be called concurrently.
type Live interface {
	Ingest(ctx context.Context, r live.IngestRequest) (live.Receipt, error)
	Wait(ctx context.Context, key qingting.Key, version int64) (*live.State, error)
	State(ctx context.Context, key qingting.Key) (*live.State, error)
	Close(ctx context.Context, key qingting.Key, how qingting.Closing) (qingting.Conversation, error)
	SetAgent(ctx context.Context, key qingting.Key, agent string) (qingting.Conversation, error)
	SetTeam(ctx context.Context, key qingting.Key, team string) (qingting.Conversation, error)
	SettlePromise(ctx context.Context, key qingting.Key, id string, to qingting.PromiseState, by string) (qingting.Promise, error)
	Claim(ctx context.Context, p live.Step) (qingting.Alert, error)
	Start(ctx context.Context, p live.Step) (qingting.Alert, error)
	Resolve(ctx context.Context, p live.Step) (qingting.Alert, error)
	Escalate(ctx context.Context, p live.Step) (qingting.Alert, error)
	Dismiss(ctx context.Context, p live.Step) (qingting.Alert, error)
	Feedback(ctx context.Context, p live.Step, verdict string) (qingting.Alert, error)
	Subscribe(f live.Filter, last string) (*live.Subscription, error)
	Publish(e qingting.Event)
	Reference(ref string) string
}

// Records is what is read and kept beside the live state; *store.Store is one,
// and its methods say what they do. It may be called concurrently.
type Records interface {
	Conversation(ctx context.Context, key qingting.Key) (qingting.Conversation, error)
	Conversations(ctx context.Context, tenant string, f store.ConversationFilter, cursor string, limit int) ([]qingting.Conversation, string, error)
	MessagesPage(ctx context.Context, key qingting.Key, after string, limit int) ([]qingting.StoredMessage, string, error)
	Labels(ctx context.Context, key qingting.Key) ([]store.Label, error)
	SetLabels(ctx context.Context, key qingting.Key, labels []store.Label, outbox []hook.Item) error
	AddFeedback(ctx context.Context, f qingting.Feedback) (qingting.Feedback, error)
	FeedbackOf(ctx context.Context, key qingting.Key) ([]qingting.Feedback, error)

	Alert(ctx context.Context, tenant, id string) (qingting.Alert, error)
	Alerts(ctx context.Context, tenant string, f store.AlertFilter, cursor string, limit int) ([]qingting.Alert, string, error)
	AlertHistory(ctx context.Context, tenant, id string) ([]qingting.AlertEvent, error)

	Endpoint(ctx context.Context, tenant, id string) (hook.Endpoint, error)
	Endpoints(ctx context.Context, tenant string) ([]hook.Endpoint, error)
	PutEndpoint(ctx context.Context, e hook.Endpoint) (hook.Endpoint, error)
	DeleteEndpoint(ctx context.Context, tenant, id string) error
	Outbox(ctx context.Context, tenant string, f store.OutboxFilter, cursor string, limit int) ([]hook.Item, string, error)
	ReplayOutbox(ctx context.Context, tenant string, ids []string, now time.Time) (int, error)

	BeginIdempotent(ctx context.Context, k store.IdempotencyKey, bodyHash []byte, now time.Time) (store.IdempotencyState, store.StoredReply, error)
	FinishIdempotent(ctx context.Context, k store.IdempotencyKey, reply store.StoredReply) error
	ForgetIdempotent(ctx context.Context, k store.IdempotencyKey) error
}
