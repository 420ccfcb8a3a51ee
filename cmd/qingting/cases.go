package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/transcript"
	"github.com/qingting-ai/qingting/internal/web"
	"github.com/qingting-ai/qingting/retrieval"
)

// caseFlags are shared by the commands of the case library.
type caseFlags struct {
	data              string
	json              bool
	types, outcomes   []string
	industry, product string
	limit, offset     int
	dryRun            bool
}

func (p *program) casesCommand() *cobra.Command {
	var f caseFlags
	var matches int // a variable of its own: list has another default
	root := &cobra.Command{
		Use: "cases", Short: "案例库：查看、检索、导入、增删",
		Long: "案例库是投诉怎样被妥善处理过的记录：问题、场景、做法、结果。\n数据目录里还没有案例库时，查看和检索用内置案例，不写文件。",
		Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Example: `  qingting cases list --type price.hidden_fee
  qingting cases search 宽带没用过却一直扣费
  qingting cases import 案例.jsonl --dry-run`,
	}
	root.PersistentFlags().StringVar(&f.data, "data", "", "数据目录，默认 $QINGTING_DATA 或 ./"+defaultData)

	filters := func(c *cobra.Command) {
		c.Flags().StringSliceVar(&f.types, "type", nil, "只看这些投诉类型（代码，可重复）")
		c.Flags().StringSliceVar(&f.outcomes, "outcome", nil, "只看这种结果：resolved 或 failed")
		c.Flags().StringVar(&f.industry, "industry", "", "只看这个行业")
		c.Flags().StringVar(&f.product, "product", "", "产品名包含这个词")
		c.Flags().BoolVar(&f.json, "json", false, "输出 JSON，一行一个案例")
	}
	list := &cobra.Command{
		Use: "list", Short: "列出案例", Args: exactly(0, "list 不接受参数"),
		Example: "  qingting cases list\n  qingting cases list --type logistics.damage --outcome failed --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.caseList(cmd.Context(), f) },
	}
	filters(list)
	list.Flags().IntVar(&f.limit, "limit", 0, "最多几个，0 为全部")
	list.Flags().IntVar(&f.offset, "offset", 0, "跳过前几个")

	show := &cobra.Command{
		Use: "show", Short: "显示一个案例", Args: exactly(1, "请给出案例编号"), Annotations: map[string]string{"args": "编号"},
		Example: "  qingting cases show 案例编号",
		RunE:    func(cmd *cobra.Command, args []string) error { return p.caseShow(cmd.Context(), f, args[0]) },
	}
	show.Flags().BoolVar(&f.json, "json", false, "输出 JSON")

	search := &cobra.Command{
		Use: "search", Short: "按问题检索案例", Annotations: map[string]string{"args": "问题描述"},
		Args: func(_ *cobra.Command, args []string) error {
			if strings.TrimSpace(strings.Join(args, " ")) == "" {
				return usageError("请写出要检索的问题，例如 qingting cases search 快递丢件不赔")
			}
			return nil
		},
		Example: "  qingting cases search 充值没到账，客服一直让等\n  qingting cases search 包裹破损 --industry 电商 --limit 5",
		RunE: func(cmd *cobra.Command, args []string) error {
			f := f
			f.limit = matches
			return p.caseSearch(cmd.Context(), f, strings.Join(args, " "))
		},
	}
	filters(search)
	search.Flags().IntVar(&matches, "limit", 3, "最多几个")

	load := &cobra.Command{
		Use: "import", Short: "从 JSONL 文件导入案例，编号相同的替换", Args: exactly(1, `请给出案例文件，标准输入写 "-"`), Annotations: map[string]string{"args": "文件|-"},
		Long:    "从 JSONL 文件导入案例，一行一个，字段见 qingting cases show --json。编号相同的会替换。\n有一行不合格就一行也不导入，并列出每一处问题。",
		Example: "  qingting cases import 案例.jsonl --dry-run\n  qingting cases import 案例.jsonl\n  cat 案例.jsonl | qingting cases import -",
		RunE:    func(cmd *cobra.Command, args []string) error { return p.caseImport(cmd.Context(), f, args[0]) },
	}
	load.Flags().BoolVar(&f.dryRun, "dry-run", false, "只检查，不写入")

	add := &cobra.Command{
		Use: "add", Short: `加入一个案例（JSON 文件，"-" 为标准输入）`, Args: exactly(1, `请给出案例文件，标准输入写 "-"`), Annotations: map[string]string{"args": "文件|-"},
		Example: `  qingting cases add 案例.json
  echo '{"title":"重复扣费已退","type":"price.hidden_fee","problem":"一单扣了两次钱","solution":"核对流水后原路退回","outcome":"resolved"}' | qingting cases add -`,
		RunE: func(cmd *cobra.Command, args []string) error { return p.caseAdd(cmd.Context(), f, args[0]) },
	}
	remove := &cobra.Command{
		Use: "delete", Short: "删除一个案例", Args: exactly(1, "请给出案例编号"), Annotations: map[string]string{"args": "编号"},
		Example: "  qingting cases delete 案例编号",
		RunE:    func(cmd *cobra.Command, args []string) error { return p.caseDelete(cmd.Context(), f, args[0]) },
	}
	root.AddCommand(list, show, search, load, add, remove)
	return root
}

// shelf is a case library that is only looked at.
type shelf interface {
	GetCase(ctx context.Context, id string) (store.CaseRecord, error)
	ListCases(ctx context.Context, f qingting.CaseFilter, offset, limit int) ([]store.CaseRecord, int, error)
}

// starterShelf is the built-in library, for a data folder that has none yet.
type starterShelf struct{ *retrieval.Library }

func (s starterShelf) GetCase(_ context.Context, id string) (store.CaseRecord, error) {
	c, err := s.Get(id)
	return store.CaseRecord{Case: c}, err
}

func (s starterShelf) ListCases(_ context.Context, f qingting.CaseFilter, offset, limit int) ([]store.CaseRecord, int, error) {
	list, total := s.List(f, offset, limit)
	out := make([]store.CaseRecord, len(list))
	for i := range list {
		out[i].Case = list[i]
	}
	return out, total, nil
}

// look opens the case library to list and show it, which needs neither the
// encoder nor an index over the cases. No folder is made.
func (p *program) look(ctx context.Context, f caseFlags) (_ shelf, done func(), err error) {
	file := filepath.Join(p.dataFolder(f.data), databaseName)
	if _, err := os.Stat(file); err == nil {
		kept, err := store.Open(ctx, file)
		if err != nil {
			return nil, nil, err
		}
		return kept.CasesOf(qingting.DefaultTenant), func() { _ = kept.Close() }, nil // nothing was written
	}
	e, err := p.build(ctx, buildOptions{mode: qingting.ModeFast, later: true})
	if err != nil {
		return nil, nil, err
	}
	return starterShelf{e.library}, e.close, nil
}

// library opens the case library. To search it, no folder is made: without
// one the starter cases are used.
func (p *program) library(ctx context.Context, f caseFlags, write bool) (*engine, error) {
	o := buildOptions{mode: qingting.ModeFull, data: p.dataFolder(f.data)}
	if _, err := os.Stat(filepath.Join(o.data, databaseName)); errors.Is(err, fs.ErrNotExist) && !write {
		o.data = ""
	}
	return p.build(ctx, o)
}

func (f caseFlags) filter() (qingting.CaseFilter, error) {
	out := qingting.CaseFilter{Industry: f.industry, Product: f.product}
	for _, t := range f.types {
		if !slices.Contains(qingting.Types(), qingting.Type(t)) {
			return out, usageError("没有 %q 这个投诉类型，代码例如 price.hidden_fee、logistics.delay", t)
		}
		out.Types = append(out.Types, qingting.Type(t))
	}
	for _, o := range f.outcomes {
		if c := qingting.CaseOutcome(o); c != qingting.CaseResolved && c != qingting.CaseFailed {
			return out, usageError("案例结果只能是 resolved 或 failed，不是 %q", o)
		}
		out.Outcomes = append(out.Outcomes, qingting.CaseOutcome(o))
	}
	if f.limit < 0 || f.offset < 0 {
		return out, usageError("--limit 和 --offset 不能是负数")
	}
	return out, nil
}

func (p *program) page() *page {
	width, isTerminal := terminal(p.out)
	return &page{view: newView(width, isTerminal && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb")}
}

func (p *program) caseList(ctx context.Context, f caseFlags) error {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	cases, done, err := p.look(ctx, f)
	if err != nil {
		return err
	}
	defer done()
	list, total, err := cases.ListCases(ctx, filter, f.offset, f.limit)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(p.out)
	if f.json {
		for i := range list {
			if err := web.Encode(out, &list[i].Case, false); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	pg := p.page()
	for _, c := range list {
		mark := pg.style("good", "✓")
		if c.Outcome == qingting.CaseFailed {
			mark = pg.style("bad", "✗")
		}
		pg.WriteString(mark + " " + pad(pg, clean(c.ID), 14) + " " + pad(pg, qingting.Label(string(c.Type)), 10) + " " + pad(pg, clean(c.Industry), 6) + " " + clean(c.Title) + "\n")
	}
	fmt.Fprintf(&pg.Buffer, "共 %d 个案例\n", total)
	_, err = pg.WriteTo(p.out)
	return err
}

func pad(p *page, s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-p.wide.StringWidth(s)))
}

func notFound(err error, id string) error {
	if errors.Is(err, qingting.ErrNotFound) {
		return dataError(fmt.Errorf("没有编号为 %s 的案例，用 qingting cases list 查看编号", id))
	}
	return err
}

func (p *program) caseShow(ctx context.Context, f caseFlags, id string) error {
	cases, done, err := p.look(ctx, f)
	if err != nil {
		return err
	}
	defer done()
	c, err := cases.GetCase(ctx, id)
	if err != nil {
		return notFound(err, id)
	}
	if f.json {
		return web.Encode(p.out, c.Case, false)
	}
	pg := p.page()
	pg.oneCase(c.Case)
	if c.Version > 0 {
		pg.row("记录", fmt.Sprintf("%s 加入，%s 改动，第 %d 版", c.Created.Local().Format("2006-01-02 15:04"), c.Updated.Local().Format("2006-01-02 15:04"), c.Version))
	}
	_, err = pg.WriteTo(p.out)
	return err
}

// oneCase shows a case in full.
func (p *page) oneCase(c qingting.Case) {
	p.WriteString(p.style("head", clean(c.Title)) + "\n")
	row := func(label, text string) {
		if text != "" {
			p.row(label, clean(text))
		}
	}
	row("编号", c.ID)
	row("类型", qingting.Label(string(c.Type)))
	row("结果", qingting.Label(string(c.Outcome)))
	row("行业", c.Industry)
	row("产品", c.Product)
	row("场景", c.Scene)
	row("问题", c.Problem)
	row("做法", c.Solution)
	for i, s := range c.Steps {
		p.rowIndent("", "   ", fmt.Sprintf("%d. %s", i+1, clean(s)))
	}
	row("负责", c.Owner)
	if c.Remedy != "" {
		row("补救", qingting.Label(string(c.Remedy)))
	}
	var facts []string
	if c.Hours > 0 {
		facts = append(facts, fmt.Sprintf("%g 小时处理完", c.Hours))
	}
	if c.Cost > 0 {
		facts = append(facts, "花费 "+money(c.Cost))
	}
	if c.Satisfied > 0 {
		facts = append(facts, fmt.Sprintf("满意度 %d/5", c.Satisfied))
	}
	if c.Reopened {
		facts = append(facts, "曾重新打开")
	}
	row("数据", strings.Join(facts, "；"))
	row("教训", c.Lesson)
}

func (p *program) caseSearch(ctx context.Context, f caseFlags, query string) error {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	e, err := p.library(ctx, f, false)
	if err != nil {
		return err
	}
	defer e.close()
	matches, err := e.library.SearchText(ctx, query, filter, f.limit)
	if err != nil {
		return err
	}
	if f.json {
		for i := range matches {
			if err := web.Encode(p.out, &matches[i], false); err != nil {
				return err
			}
		}
		return nil
	}
	pg := p.page()
	if len(matches) == 0 || matches[0].Score < retrieval.Reliable {
		pg.WriteString(pg.style("warn", qingting.Label(string(qingting.RetrievalNoReliableCase))))
		if len(matches) > 0 {
			pg.WriteString("，最接近的是：")
		}
		pg.WriteString("\n")
	}
	for i, m := range matches {
		mark := ""
		if m.Outcome == qingting.CaseFailed {
			mark = " " + pg.style("bad", "未成功")
		}
		pg.rowIndent(fmt.Sprintf("%d. %s", i+1, percent(m.Score)), "", pg.style("head", clean(m.Title))+mark+" "+pg.style("dim", clean(m.ID)))
		pg.match(&m)
	}
	_, err = pg.WriteTo(p.out)
	return err
}

func (p *program) caseImport(ctx context.Context, f caseFlags, file string) error {
	in, _, err := p.open(file)
	if err != nil {
		return dataError(err)
	}
	defer in.Close()
	rows, err := readCases(in, caseInput(file))
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return dataError(fmt.Errorf("%s 里没有案例", caseInput(file)))
	}
	e, err := p.library(ctx, f, !f.dryRun)
	if err != nil {
		return err
	}
	defer e.close()
	done, err := e.library.Import(ctx, rows, f.dryRun)
	if err != nil {
		return err
	}
	if len(done.Problems) > 0 {
		return dataError(fmt.Errorf("有 %d 处问题，没有导入：%s", len(done.Problems), listProblems(done.Problems)))
	}
	if f.dryRun {
		_, err = fmt.Fprintf(p.out, "检查通过：将新增 %d 个、替换 %d 个案例（没有写入）\n", done.Added, done.Updated)
		return err
	}
	_, err = fmt.Fprintf(p.out, "已导入：新增 %d 个、替换 %d 个案例。正在运行的服务重启后生效\n", done.Added, done.Updated)
	return err
}

// caseInput is what errors call the input of cases.
func caseInput(file string) string {
	if file == "-" {
		return display(file)
	}
	return "案例文件 " + file
}

func (p *program) caseAdd(ctx context.Context, f caseFlags, name string) error {
	in, _, err := p.open(name)
	if err != nil {
		return dataError(err)
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, web.MaxBody+1))
	if err != nil {
		return dataError(fmt.Errorf("读不了 %s：%w", display(name), err))
	}
	if len(data) > web.MaxBody {
		return dataError(fmt.Errorf("%s 超过 %d MiB，一个案例不会这么大", display(name), web.MaxBody>>20))
	}
	if err := transcript.CheckJSON(data); err != nil {
		return dataError(fmt.Errorf("%s：%w", display(name), err))
	}
	var c qingting.Case
	if err := json.Unmarshal(data, &c); err != nil {
		return dataError(fmt.Errorf("%s 不是一个案例对象，字段请参照 qingting cases show 编号 --json", display(name)))
	}
	e, err := p.library(ctx, f, true)
	if err != nil {
		return err
	}
	defer e.close()
	c, err = e.library.Add(ctx, c)
	if errors.Is(err, qingting.ErrInvalid) {
		return dataError(err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "已加入案例 %s。正在运行的服务重启后生效\n", c.ID)
	return err
}

func (p *program) caseDelete(ctx context.Context, f caseFlags, id string) error {
	e, err := p.library(ctx, f, true)
	if err != nil {
		return err
	}
	defer e.close()
	if err := e.library.Delete(ctx, id); err != nil {
		return notFound(err, id)
	}
	_, err = fmt.Fprintf(p.out, "已删除案例 %s。正在运行的服务重启后生效\n", id)
	return err
}
