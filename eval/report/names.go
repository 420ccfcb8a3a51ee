package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
)

// figureNames are the figures in Chinese; those of short tables come with
// headline. A figure that is not here is shown by its code.
var figureNames = map[string]struct {
	zh       string
	headline bool
}{
	"type.kind": {"性质正确率", true}, "type.kind_macro_f1": {"性质 macro-F1", false}, "type.kind_mcc": {"性质 MCC", false},
	"type.kind_ece": {"性质校准误差 ECE", false}, "type.false_complaint": {"非投诉误判为投诉", true},
	"type.types_micro": {"类型 micro-F1", true}, "type.types_precision": {"类型精确率", false}, "type.types_recall": {"类型召回率", false},
	"type.types_macro5": {"类型 macro-F1（≥5 例）", true}, "type.types_exact": {"类型全对率", false}, "type.types_hierarchical": {"类型层级 F1", false},
	"type.primary": {"主类型正确率", false}, "type.primary_l1": {"主类型大类正确率", true}, "type.claims_micro": {"诉求 micro-F1", true},
	"type.style": {"客户风格正确率", false}, "type.outcome": {"处理结果正确率", false},
	"emotion.emotion": {"情绪正确率", true}, "emotion.macro_f1": {"情绪 macro-F1", false}, "emotion.ece": {"情绪校准误差 ECE", false},
	"emotion.intensity_qwk": {"强度 QWK", true}, "emotion.intensity_mae": {"强度平均误差", false},
	"risk.level": {"风险等级正确率", true}, "risk.macro_f1": {"风险 macro-F1", false}, "risk.high_recall": {"高风险召回率", true},
	"risk.high_precision": {"高风险精确率", true}, "risk.high_ap": {"高风险平均精确率 AP", true}, "risk.high_auroc": {"高风险 AUROC", false},
	"risk.high_brier": {"高风险 Brier", false}, "risk.high_ece": {"高风险 ECE（等宽）", false}, "risk.high_ece_mass": {"高风险 ECE（等量）", false},
	"risk.recall_at_10pct": {"告警 10% 时的召回率", false}, "risk.cost": {"每会话成本", false}, "risk.least_cost": {"最低可能成本", false},
	"risk.signals_micro": {"信号 micro-F1", true},
	"satisfaction.nmd":   {"满意度分布 NMD", true}, "satisfaction.rsnod": {"满意度分布 RSNOD", true}, "satisfaction.mean_mae": {"满意度均值误差", false},
	"retrieval.ndcg@5": {"nDCG@5", true}, "retrieval.judged@5": {"前 5 名已判比例", true}, "retrieval.ndcg@5_condensed": {"nDCG@5（去未判）", true},
	"retrieval.ndcg@5_random": {"nDCG@5（随机序）", true}, "retrieval.ndcg@10": {"nDCG@10", false}, "retrieval.p@1": {"首位命中", false},
	"retrieval.hit@5": {"前 5 名命中", true}, "retrieval.recall@10": {"召回@10", false}, "retrieval.mrr@10": {"MRR@10", true},
	"retrieval.map": {"MAP", false}, "retrieval.answered": {"有案例时给出", false}, "retrieval.abstained": {"无案例时不给", false},
	"reply.must": {"要点覆盖", true}, "reply.must_not": {"没有禁止内容", true}, "reply.lint": {"通过全部检查", true},
	"reply.grounded": {"数字和日期有依据", true}, "reply.restate_fits": {"复述 30 字以内", false},
	"text.mask_recall": {"脱敏召回率", true}, "text.mask_precision": {"脱敏精确率", true}, "text.words_f1": {"分词 F1", true}, "text.script": {"繁简转换全对", true},
	"pairs.auroc": {"成对判断 AUROC", true}, "pairs.ap": {"成对判断 AP", true},
	"speed.ratio": {"用时比", false},
}

func figureName(code string) string {
	if n, ok := figureNames[code]; ok {
		return n.zh
	}
	return code
}

func headline(code string) bool { return figureNames[code].headline }

var suiteNames = map[dataset.Suite]string{
	dataset.SuiteTriage: "分诊", dataset.SuiteSatisfaction: "满意度", dataset.SuiteRetrieval: "案例检索", dataset.SuiteReply: "回复", dataset.SuiteText: "文本处理",
	dataset.SuitePairs: "同一问题",
}

func suiteName(s dataset.Suite) string {
	if zh, ok := suiteNames[s]; ok {
		return zh
	}
	return string(s)
}

// systemNames say what the systems are that come with the program.
var systemNames = map[string]string{
	"full": "完整模式", "fast": "快速模式", "keyword": "只用规则", "bm25": "只按词检索",
	"majority": "总答最常见的", "always_high": "总报高风险", "never_high": "从不报高风险",
}

var sliceNames = map[string]string{
	"industry": "行业", "channel": "渠道", "noise": "噪声", "length": "长度", "turns": "轮次", "script": "文字", "punct": "标点",
	"short": "短", "long": "长", "single": "一条", "few": "两三条", "many": "四条以上", "simplified": "简体", "traditional": "繁体",
	"none": "无", "some": "有", "clean": "干净", "asr": "语音转写", "typo": "错别字", "emoji": "表情", "im": "在线聊天", "ticket": "工单", "phone": "电话",
}

// sliceName is a slice or one of its values in Chinese. The general words
// (medium, mixed, other) mean another thing as a label of the guide.
func sliceName(code string) string {
	switch code {
	case "medium":
		return "中等"
	case "mixed":
		return "混合"
	case "other":
		return "其他"
	}
	if zh, ok := sliceNames[code]; ok {
		return zh
	}
	return code
}

// labelName is a label as people read it; "" is a label as well, the primary
// type of what is no complaint.
func labelName(code string) string {
	if code == "" {
		return "（无）"
	}
	return qingting.Label(code)
}

// digits writes a figure; a figure that does not exist is a dash.
func digits(x eval.Number) string { return format(float64(x), "%.3f") }

// signed writes a difference.
func signed(x eval.Number) string { return sign(format(float64(x), "%+.3f")) }

// signedShort has two digits, all that a slice is read for.
func signedShort(x eval.Number) string { return sign(format(float64(x), "%+.2f")) }

func format(x float64, as string) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "—"
	}
	return fmt.Sprintf(as, x)
}

// sign takes the sign from a zero, and writes a minus as wide as a plus.
func sign(s string) string {
	if strings.Trim(s, "+-0.") == "" {
		return s[1:]
	}
	return strings.Replace(s, "-", "−", 1)
}
