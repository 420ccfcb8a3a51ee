package main

import (
	"context"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/web"
)

// gauges reads the figures of the parts; it is a prometheus.Collector.
type gauges struct {
	service *service
	desc    map[string]*prometheus.Desc
}

// Descriptions of the metrics; deploy/grafana.json shows them.
var metricHelp = map[string]string{
	"qingting_messages_total":          "Messages stored since the start.",
	"qingting_refused_total":           "Writes refused because too much waited.",
	"qingting_analysis_failures_total": "Analyses and timers that failed.",
	"qingting_analysis_panics_total":   "Panics in a stage.",
	"qingting_analysis_waiting":        "Conversations that wait to be analysed, by urgency.",
	"qingting_analysis_oldest_seconds": "How long the first of them has waited.",
	"qingting_analysis_reduced":        "1 while analyses go without search and vectors.",
	"qingting_analysis_seconds":        "Time of one analysis, saving included.",
	"qingting_analysis_behind_seconds": "From the oldest unread message to the end of its analysis.",
	"qingting_conversations_in_memory": "Conversations in memory.",
	"qingting_messages_in_memory":      "Prepared messages in memory.",
	"qingting_alerts_total":            "Alerts raised, by how: loud, quiet, again.",
	"qingting_stream_subscribers":      "Event streams.",
	"qingting_stream_events_total":     "Events published.",
	"qingting_stream_dropped_total":    "Subscribers dropped because they were too slow.",
	"qingting_store_bytes":             "Bytes of the database, by part.",
	"qingting_store_waiting":           "Writes that wait.",
	"qingting_store_writes_total":      "Writes acknowledged.",
	"qingting_store_failed_total":      "Writes that failed.",
	"qingting_store_commits_total":     "Commits.",
	"qingting_deliveries":              "Webhook deliveries, by state.",
	"qingting_delivery_attempts_total": "Webhook attempts, by result.",
	"qingting_webhook_endpoints_held":  "Endpoints that rest after failures.",
	"qingting_component_up":            "1 when a component works.",
	"qingting_info":                    "Version and model.",
}

var metricLabels = map[string][]string{
	"qingting_analysis_waiting": {"urgency"}, "qingting_alerts_total": {"how"}, "qingting_store_bytes": {"part"},
	"qingting_deliveries": {"state"}, "qingting_delivery_attempts_total": {"result"}, "qingting_component_up": {"component"},
	"qingting_info": {"version", "model", "go"},
}

func newGauges(s *service) *gauges {
	g := &gauges{service: s, desc: map[string]*prometheus.Desc{}}
	for name, help := range metricHelp {
		g.desc[name] = prometheus.NewDesc(name, help, metricLabels[name], nil)
	}
	return g
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range g.desc {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	send := func(kind prometheus.ValueType, name string, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(g.desc[name], kind, value, labels...)
	}
	gauge := func(name string, value float64, labels ...string) {
		send(prometheus.GaugeValue, name, value, labels...)
	}
	count := func(name string, value float64, labels ...string) {
		send(prometheus.CounterValue, name, value, labels...)
	}
	histogram := func(name string, h live.Histogram) {
		out <- prometheus.MustNewConstHistogram(g.desc[name], h.Count, h.Sum, h.Buckets)
	}
	flag := map[bool]float64{true: 1}

	l := g.service.live.Stats()
	count("qingting_messages_total", float64(l.Ingested))
	count("qingting_refused_total", float64(l.Refused))
	count("qingting_analysis_failures_total", float64(l.Failures))
	count("qingting_analysis_panics_total", float64(l.Panics))
	gauge("qingting_analysis_waiting", float64(l.WaitingUrgent), "urgent")
	gauge("qingting_analysis_waiting", float64(l.Waiting-l.WaitingUrgent), "other")
	gauge("qingting_analysis_oldest_seconds", l.Oldest.Seconds())
	gauge("qingting_analysis_reduced", flag[l.Reduced])
	histogram("qingting_analysis_seconds", l.Analysis)
	histogram("qingting_analysis_behind_seconds", l.Behind)
	gauge("qingting_conversations_in_memory", float64(l.Conversations))
	gauge("qingting_messages_in_memory", float64(l.Messages))
	count("qingting_alerts_total", float64(l.AlertsRaised-l.AlertsQuiet), "loud")
	count("qingting_alerts_total", float64(l.AlertsQuiet), "quiet")
	count("qingting_alerts_total", float64(l.AlertsAgain), "again")
	gauge("qingting_stream_subscribers", float64(l.Subscribers))
	count("qingting_stream_events_total", float64(l.Events))
	count("qingting_stream_dropped_total", float64(l.Dropped))

	if st, err := g.service.engine.store.Stats(context.Background()); err == nil {
		gauge("qingting_store_bytes", float64(st.FileBytes), "file")
		gauge("qingting_store_bytes", float64(st.WALBytes), "wal")
		gauge("qingting_store_bytes", float64(st.FreeBytes), "free")
		gauge("qingting_store_waiting", float64(st.Waiting))
		count("qingting_store_writes_total", float64(st.Writes))
		count("qingting_store_failed_total", float64(st.Failed))
		count("qingting_store_commits_total", float64(st.Commits))
		gauge("qingting_deliveries", float64(st.Pending), "pending")
		gauge("qingting_deliveries", float64(st.Dead), "dead")
	}
	h := g.service.sender.Stats()
	count("qingting_delivery_attempts_total", float64(h.Delivered), "delivered")
	count("qingting_delivery_attempts_total", float64(h.Failed), "failed")
	gauge("qingting_webhook_endpoints_held", float64(h.Held))

	for _, c := range g.service.components() {
		if c.Component != "weights" && c.Component != "lexicon" && c.Status != "disabled" {
			gauge("qingting_component_up", flag[c.Status == "ok"], c.Component)
		}
	}
	info, _ := debug.ReadBuildInfo()
	goVersion := ""
	if info != nil {
		goVersion = info.GoVersion
	}
	gauge("qingting_info", 1, version, g.service.engine.ids.Analysis, goVersion)
}

// requests counts and times the answers over HTTP.
type requests struct {
	count *prometheus.CounterVec
	took  *prometheus.HistogramVec
}

func newRequests() *requests {
	return &requests{
		count: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "qingting_http_requests_total", Help: "Answers over HTTP."}, []string{"route", "method", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "qingting_http_request_seconds", Help: "Time of answers over HTTP, streams aside.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
		}, []string{"route"}),
	}
}

// observe implements web.Options.Observe.
func (r *requests) observe(route, method string, status int, took time.Duration) {
	r.count.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	if !web.Long(route) {
		r.took.WithLabelValues(route).Observe(took.Seconds())
	}
}

// metrics is /metrics. Every service has a registry of its own.
func (s *service) metrics() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(newGauges(s), s.requests.count, s.requests.took, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
