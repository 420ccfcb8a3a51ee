package job

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/xuri/excelize/v2"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
)

// book writes rows into a workbook.
func book(t testing.TB, rows ...[]any) string {
	t.Helper()
	f := excelize.NewFile()
	for i, r := range rows {
		require.NoError(t, f.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i+1), &r))
	}
	var b bytes.Buffer
	require.NoError(t, f.Write(&b))
	return b.String()
}

type charset struct {
	name     string
	declared string // "" is detected
	enc      encoding.Encoding
}

func charsets() []charset {
	le, be := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	return []charset{
		{"UTF-8", "", encoding.Nop},
		{"UTF-8 带 BOM", "", unicode.UTF8BOM},
		{"UTF-8 写明", "utf-8", encoding.Nop},
		{"GB18030 识别", "", simplifiedchinese.GB18030},
		{"GBK 写明", "gbk", simplifiedchinese.GBK},
		{"UTF-16LE 识别", "", le},
		{"UTF-16BE 识别", "", be},
		{"UTF-16 写明", "utf-16", le},
	}
}

// TestEveryFormatInEveryCharset: what arrives is the same whatever it was
// written in. 上 and 一 have the byte of a line end in UTF-16.
func TestEveryFormatInEveryCharset(t *testing.T) {
	t.Parallel()
	const table = "会话编号,角色,内容,时间\r\nc1,客户,\"上面说一不二，\n\"\"退一赔三\"\"😀\",2026-03-01 09:30:00\r\nc1,客服,好的，马上登记,\r\n\r\nc2,机器人,ＡＢＣ请稍等,\r\n"
	const jsonl = `{"id":"c1","messages":[{"role":"customer","text":"上面说一不二，\n\"退一赔三\"😀","sent_at":"2026-03-01T09:30:00+08:00"},{"role":"agent","text":"好的，马上登记"}]}` +
		"\n\n" + `{"id":"c2","messages":[{"role":"bot","text":"ＡＢＣ请稍等"}]}` + "\n"
	p := newPlace(t)
	check := func(t *testing.T, j store.Job, result ImportResult) {
		require.Equal(t, store.JobDone, j.State, j.Error)
		require.Empty(t, result.Errors)
		require.Equal(t, []int{2, 2, 0}, []int{j.Total, j.Done, j.Failed})
		require.Equal(t, 2, result.Added+result.Unchanged)
		got, err := p.store.Messages(t.Context(), qingting.Key{Tenant: "default", ID: "c1"})
		require.NoError(t, err)
		require.Len(t, got, 2, "however often it came")
		require.Equal(t, "上面说一不二，\n\"退一赔三\"😀", strings.ReplaceAll(got[0].Text, "\r", ""))
		require.Equal(t, []qingting.Role{qingting.RoleCustomer, qingting.RoleAgent}, []qingting.Role{got[0].Role, got[1].Role})
		require.Equal(t, "2026-03-01T01:30:00Z", got[0].SentAt.UTC().Format(time.RFC3339))
		require.Empty(t, p.uploads())
	}
	for format, content := range map[string]string{FormatCSV: table, FormatJSONL: jsonl} {
		for _, c := range charsets() {
			t.Run(format+" "+c.name, func(t *testing.T) {
				text := content
				if c.declared == "gbk" {
					text = strings.ReplaceAll(text, "😀", "") // GBK has none
				}
				body, err := c.enc.NewEncoder().String(text)
				require.NoError(t, err)
				if c.declared == "gbk" {
					j, result := p.work(p.order(ImportRequest{Kind: Conversations, Format: format, Charset: c.declared, DryRun: true}, body))
					require.Equal(t, store.JobDone, j.State, j.Error)
					require.Empty(t, result.Errors)
					require.Equal(t, 2, j.Total)
					return
				}
				j, result := p.work(p.order(ImportRequest{Kind: Conversations, Format: format, Charset: c.declared}, body))
				check(t, j, result)
			})
		}
	}
	t.Run("xlsx", func(t *testing.T) {
		j, result := p.work(p.order(ImportRequest{Kind: Conversations, Format: FormatXLSX}, book(t,
			[]any{"会话编号", "角色", "内容", "时间"},
			[]any{"c1", "客户", "上面说一不二，\n\"退一赔三\"😀", time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)},
			[]any{"c1", "客服", "好的，马上登记"},
			[]any{},
			[]any{"c2", "机器人", "ＡＢＣ请稍等"},
		)))
		check(t, j, result)
	})
	t.Run("big5", func(t *testing.T) {
		body, err := traditionalchinese.Big5.NewEncoder().String("會話編號,角色,內容\nb1,客戶,話費扣多了\nb1,客服,您好\n")
		require.NoError(t, err)
		j, result := p.work(p.order(ImportRequest{Kind: Conversations, Format: FormatCSV, Charset: "big5"}, body))
		require.Equal(t, store.JobDone, j.State, j.Error)
		require.Equal(t, 2, result.Messages)
		j, _ = p.work(p.order(ImportRequest{Kind: Conversations, Format: FormatCSV}, body))
		require.Equal(t, store.JobFailed, j.State)
		require.Contains(t, strings.ToLower(j.Error), "charset=big5")
		require.NotContains(t, j.Error, "--charset")
	})
}

// TestCasesInEveryFormat reads Chinese and English headings, names and codes.
func TestCasesInEveryFormat(t *testing.T) {
	t.Parallel()
	want := qingting.Case{
		Title: "重复扣费", Type: qingting.TypeHiddenFee, Problem: "一单扣了两次", Solution: "核对后退回", Steps: []string{"核对", "退款"},
		Outcome: qingting.CaseResolved, Hours: 2.5, Satisfied: 5, Remedy: qingting.RemedyRefund, Reopened: true,
		ClosedAt: time.Date(2026, 3, 1, 9, 0, 0, 0, china()),
	}
	want.ID = caseID(&want)
	const chinese = "标题,投诉类型,问题描述,解决方案,步骤,结果,耗时（小时）,满意度,补救,重开,结案时间,备注\n重复扣费,隐性收费,一单扣了两次,核对后退回,核对；退款,已解决,2.5,5,退款,是,2026年3月1日 9:00,不管它\n"
	const english = "title;type;problem;solution;steps;outcome;hours;satisfaction;remedy;reopened;closed_at\n重复扣费;price.hidden_fee;一单扣了两次;核对后退回;核对|退款;resolved;2.5;5;refund;true;2026-03-01T09:00:00+08:00\n"
	const jsonl = `{"title":"重复扣费","type":"price.hidden_fee","problem":"一单扣了两次","solution":"核对后退回","steps":["核对","退款"],"outcome":"resolved","hours":2.5,"satisfaction":5,"remedy":"refund","reopened":true,"closed_at":"2026-03-01T09:00:00+08:00"}`
	sheet := book(t, []any{"标题", "类型", "问题", "方案", "步骤", "结果", "耗时", "满意度", "补救", "重开", "结案时间"},
		[]any{"重复扣费", "隐性收费", "一单扣了两次", "核对后退回", "核对\n退款", "已解决", 2.5, 5, "退款", true, time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)})
	traditional, err := traditionalchinese.Big5.NewEncoder().String("標題,類型,問題,方案,結果\n重複扣費,price.hidden_fee,一單扣了兩次,核對後退回,resolved\n")
	require.NoError(t, err)
	p := newPlace(t)
	for _, tt := range []struct{ name, format, content string }{{"中文", FormatCSV, chinese}, {"英文", FormatCSV, english}, {"jsonl", FormatJSONL, jsonl}, {"xlsx", FormatXLSX, sheet}} {
		for _, c := range charsets() {
			if tt.format == FormatXLSX && c.name != "UTF-8" {
				continue
			}
			t.Run(tt.name+" "+c.name, func(t *testing.T) {
				body, err := c.enc.NewEncoder().String(tt.content)
				require.NoError(t, err)
				j, result := p.work(p.order(ImportRequest{Kind: Cases, Format: tt.format, Charset: c.declared}, body))
				require.Equal(t, store.JobDone, j.State, j.Error)
				require.Empty(t, result.Errors)
				require.Len(t, p.library.kept, 1, "the same case however it is written")
				got := p.library.kept[want.ID]
				require.True(t, want.ClosedAt.Equal(got.ClosedAt))
				require.Equal(t, plain(want), plain(got))
				require.Equal(t, 1, p.library.puts, "what is there is not written again")
			})
		}
	}
	j, result := p.work(p.order(ImportRequest{Kind: Cases, Format: FormatCSV, Charset: "big5"}, traditional))
	require.Equal(t, store.JobDone, j.State, j.Error)
	require.Equal(t, 1, result.Added)
}

func TestBrokenLinesAreNamedAndTheOthersComeIn(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("长", MaxLine/3+1)
	for name, tt := range map[string]struct {
		req    ImportRequest
		body   string
		faults []Fault // without messages
		added  int
	}{
		"会话 csv": {
			ImportRequest{Kind: Conversations, Format: FormatCSV},
			"会话编号,角色,内容,时间\nc1,客户,在吗,\nc2,老板,在吗,\nc3,客户,在吗,前天下午\nc1,客户,又来,\n,客户,谁的,\nc4,客户,多,一列,了\n带 空格,客户,在吗,\nc5,客户,\"好\",\n",
			[]Fault{
				{3, "角色", "unknown_role", ""},
				{4, "时间", "bad_time", ""},
				{5, "会话编号", "scattered_rows", ""},
				{6, "会话编号", "missing_id", ""},
				{7, "", "bad_csv", ""},
				{8, "id", "bad_id", ""},
			},
			2,
		},
		"会话 jsonl": {
			ImportRequest{Kind: Conversations, Format: FormatJSONL},
			`{"id":"c1","messages":[{"role":"customer","text":"在吗"}]}` + "\n{坏\n" + `{"messages":[]}` + "\n" + `{"id":"x","messages":[{"role":"boss","text":"在"}]}` + "\n" +
				`{"messages":[{"role":"customer","text":"` + long + `"}]}` + "\n" + `{"messages":[{"role":"customer","text":"没有编号也行"}]}` + "\n\xff\n",
			[]Fault{
				{2, "", "bad_json", ""},
				{3, "messages", "empty_transcript", ""},
				{4, "messages[0].role", "unknown_role", ""},
				{5, "", "line_too_long", ""},
				{7, "", "bad_encoding", ""},
			},
			2,
		},
		"案例 csv": {
			ImportRequest{Kind: Cases, Format: FormatCSV},
			"编号,标题,类型,问题,方案,结果,耗时,重开\nk1,一,隐性收费,问题,方案,已解决,1,\nk1,二,隐性收费,问题,方案,已解决,1,\nk2,,隐性收费,问题,方案,已解决,很久,\nk3,三,没有这种,问题,方案,已解决,,也许\nk4,四,隐性收费,问\"题,方案,已解决,,\nk5,五,隐性收费,\"问\xff题\",方案,已解决,,\nk6,六,隐性收费,问题,方案,已解决,,,多\nk7,七,隐性收费,问题,方案\n",
			[]Fault{
				{3, "id", "duplicate_id", ""},
				{4, "耗时", "wrong_type", ""},
				{5, "重开", "wrong_type", ""},
				{6, "", "bad_csv", ""},
				{7, "", "bad_encoding", ""},
				{8, "", "bad_csv", ""},
			},
			2,
		},
		"案例 jsonl": {
			ImportRequest{Kind: Cases, Format: FormatJSONL},
			`{"title":"一","type":"a.b","problem":"问"}` + "\n" + `{"title":1}` + "\n" + `{"title":"一","title":"二"}` + "\n[]\n" + long + "\n" + `{"title":"","type":"a.b","problem":"问"}` + "\n" + `{"closed_at":"昨天"}` + "\n",
			[]Fault{
				{2, "title", "wrong_type", ""},
				{3, "title", "duplicate_field", ""},
				{4, "", "wrong_type", ""},
				{5, "", "line_too_long", ""},
				{6, "title", "invalid_case", ""},
				{7, "closed_at", "bad_time", ""},
			},
			1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			j, result := p.work(p.order(tt.req, tt.body))
			require.Equal(t, store.JobDone, j.State, j.Error)
			for i := range result.Errors {
				require.NotEmpty(t, result.Errors[i].Message)
				require.NotContains(t, result.Errors[i].Message, "--")
				result.Errors[i].Message = ""
			}
			require.Equal(t, tt.faults, result.Errors)
			require.Equal(t, tt.added, result.Added)
			require.Equal(t, len(tt.faults), j.Failed)
		})
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	var rows strings.Builder
	rows.WriteString("会话编号,角色,内容\n")
	for i := range MaxRows + 1 {
		fmt.Fprintf(&rows, "c%d,客户,在吗\n", i)
	}
	var bomb bytes.Buffer
	z := zip.NewWriter(&bomb)
	w, err := z.Create("xl/worksheets/sheet1.xml")
	require.NoError(t, err)
	zeros := make([]byte, 1<<20)
	for range 40 {
		_, err = w.Write(zeros)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	for name, tt := range map[string]struct {
		req  ImportRequest
		body string
		says string
	}{
		"太多行":     {ImportRequest{Kind: Conversations, Format: FormatCSV}, rows.String(), "10000 行"},
		"太多案例":    {ImportRequest{Kind: Cases, Format: FormatJSONL}, strings.Repeat("{}\n", MaxRows+1), "10000 行"},
		"没有文本列":   {ImportRequest{Kind: Conversations, Format: FormatCSV}, "甲,乙\n1,2\n", "表头"},
		"案例缺列":    {ImportRequest{Kind: Cases, Format: FormatCSV}, "标题,类型\n一,二\n", "问题（problem）"},
		"案例列重复":   {ImportRequest{Kind: Cases, Format: FormatCSV}, "标题,title,类型,问题,方案,结果\n", "两列"},
		"引号没有闭合":  {ImportRequest{Kind: Conversations, Format: FormatCSV}, "会话编号,角色,内容\nc1,客户,\"没完\n", "引号"},
		"只有空行":    {ImportRequest{Kind: Cases, Format: FormatJSONL}, "\n\n", "没有内容"},
		"不是 xlsx": {ImportRequest{Kind: Cases, Format: FormatXLSX}, "标题", "xlsx"},
		"坏的 xlsx": {ImportRequest{Kind: Conversations, Format: FormatXLSX}, "PK\x03\x04" + strings.Repeat("x", 500), "xlsx"},
		"炸弹":      {ImportRequest{Kind: Conversations, Format: FormatXLSX}, bomb.String(), "倍"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			before := p.counts()
			j, _ := p.work(p.order(tt.req, tt.body))
			require.Equal(t, store.JobFailed, j.State)
			require.Contains(t, j.Error, tt.says)
			require.Equal(t, before, p.counts(), "nothing was written")
			require.Empty(t, p.uploads())
		})
	}
}

// TestForgedRowNumbers: a row may say that it is the two billionth.
func TestForgedRowNumbers(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	whole := book(t, []any{"会话编号", "角色", "内容"}, []any{"c1", "客户", "在吗"})
	old, err := zip.NewReader(strings.NewReader(whole), int64(len(whole)))
	require.NoError(t, err)
	z := zip.NewWriter(&b)
	for _, f := range old.File {
		r, err := f.Open()
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		forged := regexp.MustCompile(`([rRABC"])2"`).ReplaceAllString(string(content), `${1}2147483000"`)
		if f.Name != "xl/worksheets/sheet1.xml" {
			forged = string(content)
		} else {
			require.NotEqual(t, string(content), forged)
		}
		w, err := z.Create(f.Name)
		require.NoError(t, err)
		_, err = io.WriteString(w, forged)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	p := newPlace(t)
	j, _ := p.work(p.order(ImportRequest{Kind: Conversations, Format: FormatXLSX}, b.String()))
	require.Equal(t, store.JobFailed, j.State)
	require.Contains(t, j.Error, "行号")
}

// TestForgedSizes: the directory of an archive may lie about what it inflates to.
func TestForgedSizes(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range []string{"[Content_Types].xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		require.NoError(t, err)
		_, err = w.Write(bytes.Repeat([]byte(" "), 4<<20))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	forged := b.Bytes()
	// The sizes of the directory are replaced by 16 bytes.
	for i := 0; i+46 < len(forged); i++ {
		if bytes.HasPrefix(forged[i:], []byte("PK\x01\x02")) {
			copy(forged[i+24:], []byte{16, 0, 0, 0})
		}
	}
	p := newPlace(t)
	j, _ := p.work(p.order(ImportRequest{Kind: Conversations, Format: FormatXLSX}, string(forged)))
	require.Equal(t, store.JobFailed, j.State)
	require.Contains(t, j.Error, "xlsx")
}

func TestReceiveKeepsTheLimits(t *testing.T) {
	t.Parallel()
	squeeze := func(content []byte) *bytes.Buffer {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, err := z.Write(content)
		require.NoError(t, err)
		require.NoError(t, z.Close())
		return &b
	}
	dense := make([]byte, 1<<20)
	for i := range dense {
		dense[i] = byte(rand.IntN(256))
	}
	folder := NewFolder(t.TempDir())
	u, err := folder.Receive("甲/../乙", "jb_1", squeeze([]byte("在吗")), true)
	require.NoError(t, err)
	require.EqualValues(t, 6, u.Size)
	info, err := os.Stat(folder.Path("甲/../乙", "jb_1"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	require.Equal(t, folder.dir, filepath.Dir(filepath.Dir(folder.Path("甲/../乙", "jb_1"))), "no name leads out of the folder")
	_, err = folder.Receive("甲/../乙", "jb_1", strings.NewReader("x"), false)
	require.ErrorIs(t, err, fs.ErrExist)

	for name, tt := range map[string]struct {
		body func() *bytes.Buffer
		gz   bool
		code string
	}{
		"gzip 炸弹": {func() *bytes.Buffer { return squeeze(make([]byte, 8<<20)) }, true, "compression_ratio"},
		"太大":      {func() *bytes.Buffer { return bytes.NewBuffer(make([]byte, MaxUpload+1)) }, false, "upload_too_large"},
		"解压后太大": {func() *bytes.Buffer {
			return squeeze(bytes.Repeat(append(dense[:4<<10:4<<10], make([]byte, 60<<10)...), 1+MaxUpload/(64<<10)))
		}, true, "upload_too_large"},
		"不是 gzip": {func() *bytes.Buffer { return bytes.NewBufferString("在吗在吗在吗") }, true, "bad_gzip"},
		"gzip 断了": {func() *bytes.Buffer { b := squeeze(dense); b.Truncate(b.Len() / 2); return b }, true, "bad_gzip"},
	} {
		_, err := folder.Receive("t", "jb_2", tt.body(), tt.gz)
		var in *qingting.InputError
		require.ErrorAs(t, err, &in, name)
		require.Equal(t, tt.code, in.Code, name)
		_, err = os.Stat(folder.Path("t", "jb_2"))
		require.ErrorIs(t, err, fs.ErrNotExist, name)
	}
	for i := range MaxWaiting {
		_, err := folder.Receive("u", fmt.Sprint("jb_", i), strings.NewReader("x"), false)
		require.NoError(t, err)
	}
	_, err = folder.Receive("u", "jb_more", strings.NewReader("x"), false)
	require.ErrorIs(t, err, ErrTooMany)
}

func TestSweepRemovesWhatNobodyNeeds(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	req := ImportRequest{Kind: Conversations, Format: FormatCSV}
	waits := p.order(req, "x")
	done := p.order(req, "y")
	require.NoError(t, p.store.CancelJob(t.Context(), "default", done.ID))
	for _, id := range []string{"orphan", "fresh"} {
		_, err := p.folder.Receive("default", id, strings.NewReader("z"), false)
		require.NoError(t, err)
	}
	old := time.Now().Add(-2 * abandoned)
	require.NoError(t, os.Chtimes(p.folder.Path("default", "orphan"), old, old))
	require.NoError(t, p.folder.Sweep(t.Context(), time.Now(), p.store.Job))
	require.ElementsMatch(t, []string{p.folder.Path("default", waits.ID), p.folder.Path("default", "fresh")}, p.uploads())
	require.NoError(t, NewFolder(filepath.Join(t.TempDir(), "none")).Sweep(t.Context(), time.Now(), p.store.Job))
}

func TestDryRunWritesNothing(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := p.counts()
	j, result := p.work(p.order(ImportRequest{Kind: Conversations, Format: FormatCSV, DryRun: true}, "会话编号,角色,内容\nc1,客户,我要打12315\nc2,老板,在吗\n"))
	require.Equal(t, store.JobDone, j.State, j.Error)
	require.Equal(t, []int{2, 2, 1}, []int{j.Total, j.Done, j.Failed})
	require.Len(t, result.Errors, 1)
	j, result = p.work(p.order(ImportRequest{Kind: Cases, Format: FormatCSV, DryRun: true}, "标题,类型,问题,方案,结果\n一,隐性收费,二,三,已解决\n"))
	require.Equal(t, store.JobDone, j.State, j.Error)
	require.Equal(t, 1, result.Added, "what would be added")
	require.Empty(t, p.library.kept)
	require.Equal(t, before, p.counts())
	require.Empty(t, p.uploads())
}

// dying stops an import as a killed process would: after some conversations
// everything it calls fails, and nobody settles the job.
type dying struct {
	Live
	left atomic.Int32
	kill context.CancelFunc
}

func (d *dying) Ingest(ctx context.Context, r live.IngestRequest) (live.Receipt, error) {
	if d.left.Add(-1) < 0 {
		d.kill()
		return live.Receipt{}, errors.New("killed")
	}
	return d.Live.Ingest(ctx, r)
}

// TestKilledInTheMiddle: whenever the first worker dies, the second one ends
// with exactly what an undisturbed import leaves.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("会话编号,角色,内容\n")
	for i := range 30 {
		fmt.Fprintf(&b, "c%02d,客户,第 %d 个，在吗\nc%02d,客服,在的\n", i, i, i)
	}
	b.WriteString("坏的,老板,在吗\n")
	req := ImportRequest{Kind: Conversations, Format: FormatCSV}
	var want map[string]int
	for _, after := range []int32{-1, 0, 1, 17, 29, 30} {
		p := newPlace(t)
		j := p.order(req, b.String())
		if after >= 0 {
			ctx, kill := context.WithCancel(t.Context())
			d := &dying{Live: p.live, kill: kill}
			d.left.Store(after)
			first := *p.importer
			first.Live = d
			claimed, err := p.store.ClaimJob(ctx, KindImport, time.Now(), 50*time.Millisecond)
			require.NoError(t, err)
			_, err = first.Run(ctx, &Run{job: claimed})
			require.Equal(t, after < 30, err != nil)
			kill()
		}
		j, result := p.work(j)
		require.Equal(t, store.JobDone, j.State, j.Error)
		require.Equal(t, []int{31, 31, 1}, []int{j.Total, j.Done, j.Failed})
		require.Len(t, result.Errors, 1)
		got := p.counts()
		if want == nil {
			want = got
			require.Equal(t, 60, got["messages"])
		}
		require.Equal(t, want, got, "killed after %d", after)
		require.Empty(t, p.uploads())
	}
}

func TestCancelKeepsWhatIsThereAndStops(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, `{"id":"c%d","messages":[{"role":"customer","text":"在吗"}]}`+"\n", i)
	}
	j := p.order(ImportRequest{Kind: Conversations, Format: FormatJSONL}, b.String())
	defer start(p.worker(nil))()
	require.Eventually(t, func() bool {
		got, err := p.store.Job(t.Context(), "default", j.ID)
		return err == nil && got.State == store.JobRunning && got.Done > 0
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, p.store.CancelJob(t.Context(), "default", j.ID))
	require.Eventually(t, func() bool {
		before := p.counts()["messages"]
		time.Sleep(60 * time.Millisecond)
		return p.counts()["messages"] == before
	}, 5*time.Second, time.Millisecond)
	require.Less(t, p.counts()["messages"], 5000)
	require.Positive(t, p.counts()["messages"])
	kept, err := p.store.Job(t.Context(), "default", j.ID)
	require.NoError(t, err)
	require.Equal(t, store.JobCancelled, kept.State)
}

// TestWhatIsOverIsClosed: a conversation whose last message is a day old is
// history, unless it was there before.
func TestWhatIsOverIsClosed(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	_, err := p.live.Ingest(t.Context(), live.IngestRequest{Tenant: "default", Conversation: "known", Messages: []qingting.Message{{ID: "m1", Role: qingting.RoleCustomer, Text: "在吗"}}})
	require.NoError(t, err)
	now := time.Now().Format(time.RFC3339)
	j, result := p.work(p.order(ImportRequest{Kind: Conversations, Format: FormatCSV},
		"会话编号,角色,内容,时间\npast,客户,电话13812345678,2026-01-02 10:00\npast,客服,好的,2026-01-02 10:05\nnow,客户,在吗,"+now+"\nunknown,客户,在吗,\nknown,客户,很久以前,2026-01-02 10:00\n"))
	require.Equal(t, store.JobDone, j.State, j.Error)
	require.Equal(t, ImportResult{Added: 3, Updated: 1, Messages: 5, Past: 1}, result)
	for id, state := range map[string]qingting.ConversationState{
		"past": qingting.ConversationClosed, "now": qingting.ConversationOpen, "unknown": qingting.ConversationOpen, "known": qingting.ConversationOpen,
	} {
		c, err := p.store.Conversation(t.Context(), qingting.Key{Tenant: "default", ID: id})
		require.NoError(t, err)
		require.Equal(t, state, c.State, id)
		if id == "past" {
			require.Equal(t, "2026-01-02T02:05:00Z", c.Closing.At.UTC().Format(time.RFC3339))
			require.Equal(t, qingting.OutcomeResolved, c.Closing.Outcome, "as the analysis reads it")
			require.Equal(t, "tester", c.Closing.By)
		}
	}
	kept, err := p.store.Messages(t.Context(), qingting.Key{Tenant: "default", ID: "past"})
	require.NoError(t, err)
	require.Equal(t, "电话***********", kept[0].Text)
}

// TestAnotherTeamsConversationIsOutOfReach: a key of a team writes its own
// conversations only.
func TestAnotherTeamsConversationIsOutOfReach(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	_, err := p.live.Ingest(t.Context(), live.IngestRequest{Tenant: "default", Conversation: "theirs", Team: "west", Messages: []qingting.Message{{ID: "m1", Role: qingting.RoleCustomer, Text: "在吗"}}})
	require.NoError(t, err)
	j, result := p.work(p.order(ImportRequest{Kind: Conversations, Format: FormatCSV, Team: "east", Teams: []string{"", "east"}}, "会话编号,角色,内容\ntheirs,客户,插一句\nours,客户,在吗\n"))
	require.Equal(t, store.JobDone, j.State, j.Error)
	require.Equal(t, "not_found", result.Errors[0].Code)
	theirs, err := p.store.Messages(t.Context(), qingting.Key{Tenant: "default", ID: "theirs"})
	require.NoError(t, err)
	require.Len(t, theirs, 1)
	ours, err := p.store.Conversation(t.Context(), qingting.Key{Tenant: "default", ID: "ours"})
	require.NoError(t, err)
	require.Equal(t, "east", ours.Team)
}

// TestContradictionsAreFaults: what a message said before stays.
func TestContradictionsAreFaults(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	req := ImportRequest{Kind: Conversations, Format: FormatCSV}
	_, _ = p.work(p.order(req, "会话编号,角色,内容\nc1,客户,在吗\n"))
	j, result := p.work(p.order(req, "会话编号,角色,内容\nc1,客户,不在\nc2,客户,在吗\n"))
	require.Equal(t, store.JobDone, j.State, j.Error)
	require.Len(t, result.Errors, 1)
	require.Equal(t, "conflict", result.Errors[0].Code)
	require.Equal(t, []int{2, 1, 1}, []int{j.Total, result.Added, j.Failed})
}

// FuzzRows reads anything as any format in any charset: it ends, without a
// panic, with faults that name a line of the file.
func FuzzRows(f *testing.F) {
	f.Add([]byte("会话编号,角色,内容\nc1,客户,\"在\n吗\"\n"), byte(0), byte(0))
	f.Add([]byte("標題;类型\n\"一"), byte(0), byte(5))
	f.Add([]byte("\xff\xfe\x0aN\x00\x00\x0a\x00"), byte(3), byte(3))
	f.Add([]byte(`{"id":"c","messages":[{"role":"customer","text":"\ud800"}]}`+"\n{\n"), byte(1), byte(0))
	f.Add([]byte("标题,类型,问题,方案,结果,耗时,满意度,结案时间\n一,隐性收费,三,四,已解决,1e309,NaN,99999\n"), byte(2), byte(1))
	f.Add([]byte(book(f, []any{"会话编号", "角色", "内容"}, []any{"c1", "客户", "在吗"})), byte(4), byte(0))
	sets := []string{"", "utf-8", "gb18030", "utf-16le", "utf-16be", "big5", "utf-16"}
	path := filepath.Join(f.TempDir(), "upload")
	f.Fuzz(func(t *testing.T, content []byte, what, set byte) {
		if len(content) > 1<<16 {
			return
		}
		require.NoError(t, os.WriteFile(path, content, 0o600))
		req := &ImportRequest{Format: []string{FormatCSV, FormatJSONL, FormatXLSX}[int(what/2)%3], Charset: sets[int(set)%len(sets)]}
		n := 0
		check := func(line int) {
			require.Positive(t, line)
			require.LessOrEqual(t, line, 1<<20)
			n++
		}
		var err error
		if what%2 == 0 {
			err = eachTalk(path, t.TempDir(), req, func(k *talk, fault *Fault) error {
				if k != nil {
					check(k.Line)
					require.NoError(t, k.Transcript.Validate())
					return nil
				}
				require.NotEmpty(t, fault.Code)
				check(fault.Line)
				return nil
			})
		} else {
			err = eachCase(path, t.TempDir(), req, func(line int, _ qingting.Case, faults []Fault) error {
				for _, f := range faults {
					require.NotEmpty(t, f.Code)
				}
				check(line)
				return nil
			})
		}
		var known *Failure
		if err != nil {
			require.ErrorAs(t, err, &known)
			require.NotEmpty(t, known.Message)
		}
	})
}
