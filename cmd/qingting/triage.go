package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/transcript"
	"github.com/qingting-ai/qingting/internal/web"
)

// triageFlags are the flags of triage.
type triageFlags struct {
	json, jsonl, single   bool
	mode, charset, format string
	data, cases, policy   string
	workers               int
}

func (p *program) triageCommand() *cobra.Command {
	var f triageFlags
	cmd := &cobra.Command{
		Use:   "triage",
		Short: "分析会话：类型、情绪、风险、案例和回复草稿",
		Long: `分析一个文件里的会话，"-" 表示标准输入。

格式自动识别，也可以用 --format 指定：
  text   客户：…/客服：… 的聊天记录（也认 【客户】…、客服 10:21 …），空行或 --- 隔开多个会话；
         没有说话人的一段话算客户说的，像对话却认不出说话人的会报错
  json   以 { 或 [ 开头：一个会话对象、消息数组，或会话数组
  jsonl  一行一个会话
  csv    表头为 会话编号、角色、内容、时间（或 conversation_id、role、text、time），同一编号的行放在一起
编码自动识别 UTF-8、GB18030/GBK、UTF-16；繁体 Big5 请用 --charset big5。

批量时结果顺序与输入一致，坏的会话在原位置给出错误，不影响后面的会话。
退出码：0 全部完成；1 有会话失败；64 用法不对；65 输入读不了；70 程序内部错误。`,
		Example: `  qingting triage 会话.txt
  pbpaste | qingting triage -
  qingting triage 一批.jsonl --jsonl > 结果.jsonl
  qingting triage 导出.csv --charset gbk --mode fast -j 4 --jsonl > 结果.jsonl`,
		Annotations: map[string]string{"args": "文件|-"},
		Args:        exactly(1, `请给出一个文件，标准输入写 "-"`),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.triage(cmd.Context(), args[0], f)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.json, "json", false, "输出 JSON：一个会话一个对象，批量时一行一个")
	fl.BoolVar(&f.jsonl, "jsonl", false, "输出 JSONL：总是一行一个")
	fl.StringVar(&f.mode, "mode", string(qingting.ModeFull), "分析模式：full 完整，fast 不用句向量（快数倍）")
	fl.StringVar(&f.format, "format", "auto", "输入格式：auto、text、json、jsonl、csv")
	fl.StringVar(&f.charset, "charset", "auto", "输入编码：auto、utf-8、gb18030、utf-16、big5")
	fl.BoolVar(&f.single, "single", false, "整个文本是一个会话，空行和 --- 不分开")
	fl.StringVar(&f.data, "data", "", "用这个数据目录里的案例库（默认用内置案例，不写任何文件）")
	fl.StringVar(&f.cases, "cases", "", "用这个 JSONL 文件里的案例代替内置案例")
	fl.StringVar(&f.policy, "policy", "", policyHelp)
	fl.IntVarP(&f.workers, "workers", "j", runtime.GOMAXPROCS(0), "同时分析几个会话")
	return cmd
}

func parseMode(s string) (qingting.Mode, error) {
	switch m := qingting.Mode(s); m {
	case qingting.ModeFull, qingting.ModeFast:
		return m, nil
	}
	return "", usageError("没有 %q 这个模式，可选 full 或 fast", s)
}

// triage analyses the conversations of one file.
func (p *program) triage(ctx context.Context, name string, f triageFlags) error {
	mode, err := parseMode(f.mode)
	if err != nil {
		return err
	}
	format, err := transcript.ParseFormat(f.format)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	switch {
	case f.workers < 1:
		return usageError("-j 至少是 1")
	case f.charset != "auto" && f.charset != "" && !transcript.KnownCharset(f.charset):
		return usageError("不认识的编码 %q，可选 auto、utf-8、gb18030、utf-16、utf-16le、utf-16be、big5", f.charset)
	case f.json && f.jsonl:
		return usageError("--json 和 --jsonl 只能用一个")
	case f.data != "" && f.cases != "":
		return usageError("--data 和 --cases 只能用一个")
	}
	in, size, err := p.open(name)
	if err != nil {
		return dataError(err)
	}
	defer in.Close()
	if format == transcript.FormatAuto {
		format = transcript.FormatOf(name)
	}
	count := &counter{r: in}
	reader, err := transcript.NewReader(count, transcript.Options{Format: format, Charset: f.charset, Single: f.single})
	if err != nil {
		return dataError(fmt.Errorf("%s：%w", display(name), err))
	}
	e, err := p.build(ctx, buildOptions{mode: mode, data: f.data, cases: f.cases, policy: p.policyFile(f.policy)})
	if err != nil {
		return err
	}
	defer e.close()

	width, isTerminal := terminal(p.out)
	b := &batch{
		analyze: func(ctx context.Context, t qingting.Transcript) (*qingting.Analysis, error) {
			return e.pipeline.Analyze(ctx, t, mode)
		},
		log: p.err, reader: reader, name: display(name), workers: f.workers, started: time.Now(), kinds: map[qingting.Kind]int{}, risks: map[qingting.RiskLevel]int{},
	}
	out := bufio.NewWriter(p.out)
	switch {
	case f.jsonl || f.json:
		b.notes = true
		b.render = func(r *result) ([]byte, error) { return renderJSON(r, f.json && isTerminal) }
	default:
		v := newView(width, isTerminal && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb")
		b.render = func(r *result) ([]byte, error) { return v.render(r), nil }
	}
	if _, ok := terminal(p.err); ok && !isTerminal && size > 0 {
		b.progress = newProgress(p.err, size, count)
	}
	err = b.run(ctx, out, isTerminal)
	if b.progress != nil {
		b.progress.done()
	}
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	if b.all > 1 {
		fmt.Fprintln(p.err, b.summary())
	}
	if err != nil {
		return err
	}
	return b.verdict()
}

// open opens the input; size is 0 when it is not known.
func (p *program) open(name string) (in io.ReadCloser, size int64, err error) {
	if name == "-" {
		return io.NopCloser(p.in), 0, nil
	}
	file, err := os.Open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, fmt.Errorf("找不到文件 %s，请检查路径", name)
	case errors.Is(err, fs.ErrPermission):
		return nil, 0, fmt.Errorf("没有权限读 %s", name)
	case err != nil:
		return nil, 0, fmt.Errorf("打不开 %s：%w", name, err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		file.Close()
		return nil, 0, fmt.Errorf("%s 是一个目录，请给出文件", name)
	}
	if err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return file, size, nil
}

func display(name string) string {
	if name == "-" {
		return "标准输入"
	}
	return name
}

// result is one record with its answer.
type result struct {
	record   transcript.Record
	analysis *qingting.Analysis
	err      error // of the record, or of its analysis
	index    int   // from 0
}

// internal reports a failure that is ours, not the input's.
func (r *result) internal() bool {
	return r.err != nil && !errors.Is(r.err, qingting.ErrInvalid) && !errors.Is(r.err, qingting.ErrTooLarge)
}

// batch analyses conversations side by side and writes the answers in order.
// It holds as many conversations as there are workers, and as many waiting.
type batch struct {
	analyze  func(context.Context, qingting.Transcript) (*qingting.Analysis, error)
	render   func(*result) ([]byte, error)
	reader   *transcript.Reader
	name     string // of the input, for errors without a place
	workers  int
	progress *progress
	log      io.Writer // what went wrong inside, for maintainers; may be nil
	notes    bool      // tell on log how a conversation was read; the view for people says it itself

	started               time.Time
	all, failed, internal int
	unreadable            bool // the only record could not even be read
	kinds                 map[qingting.Kind]int
	risks                 map[qingting.RiskLevel]int
}

// job is a record on its way; out is ready when done is closed.
type job struct {
	result
	out  []byte
	fail error // of rendering
	done chan struct{}
}

// run reads, analyses and writes. flush makes every answer appear at once;
// otherwise output is flushed whenever there is nothing to write.
func (b *batch) run(ctx context.Context, out *bufio.Writer, flush bool) error {
	ctx, cancel := context.WithCancel(ctx)
	todo := make(chan *job)
	ordered := make(chan *job, 2*b.workers)
	var (
		work    sync.WaitGroup
		readErr error // read after ordered is closed
	)
	defer work.Wait()
	defer cancel()
	for range b.workers {
		work.Go(func() {
			for {
				select {
				case j, ok := <-todo:
					if !ok {
						return
					}
					b.one(ctx, j)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	// Nobody waits for this one: it may hang in a read of the terminal.
	go func() {
		defer close(ordered)
		defer close(todo)
		readErr = b.read(ctx, ordered, todo)
	}()
	for {
		var j *job
		var ok bool
		select {
		case j, ok = <-ordered:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !ok {
			break
		}
		select {
		case <-j.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := b.write(out, j, flush || len(ordered) == 0); err != nil {
			return err
		}
	}
	switch {
	case readErr == nil:
		return nil
	case errors.Is(readErr, qingting.ErrInvalid):
		if b.all == 0 && lineOf(readErr) == 0 {
			return dataError(fmt.Errorf("%s：%w", b.name, readErr)) // there is no place in the output for it
		}
		// What follows cannot be read: an answer in its place says so, and
		// nobody else does.
		j := &job{result: result{record: transcript.Record{Line: lineOf(readErr)}, err: readErr, index: b.all}}
		if j.out, j.fail = b.render(&j.result); j.fail != nil {
			return j.fail
		}
		if err := b.write(out, j, true); err != nil {
			return err
		}
		return dataError(nil)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return dataError(fmt.Errorf("读输入时出错：%w", readErr))
}

// read hands every record to the workers and, in order, to the writer.
func (b *batch) read(ctx context.Context, ordered, todo chan<- *job) error {
	n := 0
	for rec, err := range b.reader.All() {
		if err != nil {
			return err
		}
		j := &job{result: result{record: rec, err: rec.Err, index: n}, done: make(chan struct{})}
		n++
		if rec.Note != "" && b.notes {
			fmt.Fprintf(b.log, "第 %d 行起的会话：%s\n", rec.Line, rec.Note)
		}
		for _, to := range []chan<- *job{ordered, todo} {
			select {
			case to <- j:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (b *batch) one(ctx context.Context, j *job) {
	defer close(j.done)
	if j.err == nil {
		j.analysis, j.err = b.guarded(ctx, j.record.Transcript)
	}
	j.out, j.fail = b.render(&j.result)
}

// guarded turns a panic of a stage into an error of this record.
func (b *batch) guarded(ctx context.Context, t qingting.Transcript) (a *qingting.Analysis, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return b.analyze(ctx, t)
}

func (b *batch) write(out *bufio.Writer, j *job, flush bool) error {
	if j.fail != nil {
		return j.fail
	}
	if _, err := out.Write(j.out); err != nil {
		return err
	}
	b.all++
	switch {
	case j.err != nil:
		b.failed++
		if j.internal() {
			b.internal++
			if b.log != nil {
				fmt.Fprintf(b.log, "内部错误（会话 %d）：%v\n", b.all, j.err)
			}
		}
		b.unreadable = unreadable(j.err) && (b.reader.Format == transcript.FormatText || b.reader.Format == transcript.FormatJSON)
	default:
		b.kinds[j.analysis.Kind.Code]++
		b.risks[j.analysis.Risk.Level]++
	}
	b.progress.tick()
	if flush {
		return out.Flush()
	}
	return nil
}

// unreadable reports an error of bytes or syntax, or a dialogue nobody can be
// told apart in, which for a lone document means that the input is unreadable.
func unreadable(err error) bool {
	var in *qingting.InputError
	if !errors.As(err, &in) {
		return false
	}
	switch in.Code {
	case "bad_encoding", "bad_json", "json_too_deep", "line_too_long", "unknown_speakers":
		return true
	}
	return false
}

func (b *batch) verdict() error {
	switch {
	case b.internal > 0:
		return &exitError{code: exitInternal}
	case b.failed == 0:
		return nil
	case b.all == 1 && b.unreadable:
		return &exitError{code: exitData}
	}
	return &exitError{code: exitSome}
}

// summary counts what was found, in one or two lines.
func (b *batch) summary() string {
	var s strings.Builder
	took := time.Since(b.started)
	fmt.Fprintf(&s, "共 %d 个会话，失败 %d 个，用时 %s", b.all, b.failed, took.Round(10*time.Millisecond))
	if took > 0 {
		fmt.Fprintf(&s, "（每秒 %.1f 个）", float64(b.all)/took.Seconds())
	}
	var kinds, risks []string
	for _, k := range qingting.Kinds() {
		if n := b.kinds[k]; n > 0 {
			kinds = append(kinds, fmt.Sprintf("%s %d", qingting.Label(string(k)), n))
		}
	}
	levels := qingting.RiskLevels()
	for i := len(levels) - 1; i >= 0; i-- {
		if n := b.risks[levels[i]]; n > 0 {
			risks = append(risks, fmt.Sprintf("%s %d", qingting.Label(string(levels[i])), n))
		}
	}
	if len(kinds) > 0 {
		fmt.Fprintf(&s, "\n性质：%s　升级风险：%s", strings.Join(kinds, "、"), strings.Join(risks, "、"))
	}
	return s.String()
}

// recordError stands in the place of an answer.
type recordError struct {
	Line  int       `json:"line"`
	ID    *string   `json:"id"`
	Error errorBody `json:"error"`
}

type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// describe gives code and sentence of an error; an internal one keeps its
// details to itself.
func describe(err error) errorBody {
	var in *qingting.InputError
	if errors.As(err, &in) {
		return errorBody{in.Code, err.Error()}
	}
	return errorBody{"internal", "分析这个会话时程序内部出错，请把这个会话和版本号告诉维护者"}
}

func lineOf(err error) int {
	var e *transcript.Error
	if errors.As(err, &e) {
		return e.Line
	}
	return 0
}

func renderJSON(r *result, indent bool) ([]byte, error) {
	var b bytes.Buffer
	var v any = r.analysis
	if r.err != nil {
		line := recordError{Line: r.record.Line, Error: describe(r.err)}
		if r.record.ID != "" {
			line.ID = &r.record.ID
		}
		v = line
	}
	err := web.Encode(&b, v, indent)
	return b.Bytes(), err
}

// counter counts the bytes that were read.
type counter struct {
	r  io.Reader
	mu sync.Mutex
	n  int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.mu.Lock()
	c.n += int64(n)
	c.mu.Unlock()
	return n, err
}

func (c *counter) bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// progress is a bar on the terminal; a nil one does nothing.
type progress struct {
	bar   *progressbar.ProgressBar
	count *counter
}

func newProgress(w io.Writer, size int64, count *counter) *progress {
	bar := progressbar.NewOptions64(size, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("分析中"),
		progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionShowBytes(true), progressbar.OptionSetPredictTime(true))
	return &progress{bar, count}
}

func (p *progress) tick() {
	if p != nil {
		_ = p.bar.Set64(p.count.bytes()) // the bar is an ornament
	}
}

func (p *progress) done() { _ = p.bar.Finish() }
