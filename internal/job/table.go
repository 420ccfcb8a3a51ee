package job

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/qingting-ai/qingting/internal/transcript"
)

// Formats of an import.
const (
	FormatCSV   = "csv"
	FormatXLSX  = "xlsx"
	FormatJSONL = "jsonl"
)

// row is one row of a table.
type row struct {
	line  int // of the file, from 1; of a sheet the number of the row
	cells []string
	fault *Fault // it cannot be used
}

// table gives rows one by one, the heading first; io.EOF after the last. Rows
// without anything in them are left out. Any other error ends it.
type table interface {
	next() (row, error)
	close()
}

// maxColumns of a table; more are a mistake, or meant to cost memory.
const maxColumns = 200

// csvTable reads comma, tab or semicolon separated values.
type csvTable struct {
	text *decoded
	in   *csv.Reader
}

func newCSVTable(file *os.File, charset string) (*csvTable, error) {
	set, err := charsetOf(file, charset)
	if err != nil {
		return nil, err
	}
	l, err := newLines(file, set)
	if err != nil {
		return nil, err
	}
	head, _, err := l.next()
	if err != nil && err != io.EOF {
		return nil, err
	}
	comma := ','
	for _, c := range "\t;" {
		if strings.Count(head, string(c)) > strings.Count(head, string(comma)) {
			comma = c
		}
	}
	if l, err = newLines(file, set); err != nil {
		return nil, err
	}
	t := &csvTable{text: &decoded{lines: l, faults: map[int]Fault{}}}
	t.in = csv.NewReader(t.text)
	t.in.Comma, t.in.FieldsPerRecord = comma, -1
	return t, nil
}

func (t *csvTable) close() {}

func (t *csvTable) next() (row, error) {
	for {
		cells, err := t.in.Read()
		var wrong *csv.ParseError
		switch {
		case errors.As(err, &wrong):
			f := faultAt(wrong.StartLine, "", "bad_csv", "引号没有成对：含引号、逗号或换行的格子要整个用双引号括起来，里面的引号写成两个")
			return row{line: wrong.StartLine, fault: &f}, nil
		case err != nil:
			return row{}, err
		}
		first, _ := t.in.FieldPos(0)
		last, _ := t.in.FieldPos(len(cells) - 1)
		last += strings.Count(cells[len(cells)-1], "\n")
		out := row{line: first, cells: cells}
		size := 0
		for _, c := range cells {
			size += len(c)
		}
		if size > MaxLine {
			f := faultAt(first, "", "line_too_long", "从这一行开始的一行超过 %d MiB，请检查引号是否成对，或拆开", MaxLine>>20)
			out.fault = &f
		}
		for n := first; n <= last && out.fault == nil; n++ {
			if f, bad := t.text.faults[n]; bad {
				out.fault = &f
			}
		}
		if out.fault == nil && blank(cells) {
			continue
		}
		return out, nil
	}
}

func blank(cells []string) bool {
	for _, c := range cells {
		if strings.TrimSpace(c) != "" {
			return false
		}
	}
	return true
}

// sheet reads the first sheet of a workbook, row by row.
type sheet struct {
	book *excelize.File
	rows *excelize.Rows
	no   int
}

// openSheet refuses a workbook that would inflate to more than its share
// before anything of it is read.
func openSheet(path, temporary string) (_ *sheet, err error) {
	// The library meets many broken files with an error, and some not.
	defer func() {
		if p := recover(); p != nil {
			err = failure("这个 xlsx 文件已损坏，请在表格软件里另存一份再上传")
		}
	}()
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	archive, err := zip.OpenReader(path)
	if err != nil {
		return nil, failure("这不是 xlsx 文件；旧的 .xls 请在表格软件里另存为 xlsx 或 csv")
	}
	total := uint64(0)
	for _, f := range archive.File {
		// Once over the limit, the sum of forged sizes must not come around.
		if total = total + f.UncompressedSize64; total > MaxUpload || f.UncompressedSize64 > MaxUpload {
			total = MaxUpload + 1
			break
		}
	}
	_ = archive.Close() // only read
	switch {
	case total > MaxUpload:
		return nil, failure("这个 xlsx 文件解压后超过 %d MiB，请拆成几个，或另存为 csv", MaxUpload>>20)
	case total > slack && total > MaxRatio*uint64(info.Size()):
		return nil, failure("这个 xlsx 文件解压后是压缩前的 %d 倍以上，不接受这样的文件", MaxRatio)
	}
	book, err := excelize.OpenFile(path, excelize.Options{
		RawCellValue: true, UnzipSizeLimit: MaxUpload, UnzipXMLSizeLimit: 16 << 20, TmpDir: temporary,
	})
	if err != nil {
		return nil, failure("这个 xlsx 文件打不开：可能已损坏或有密码，请在表格软件里另存一份再上传")
	}
	names := book.GetSheetList()
	if len(names) == 0 {
		_ = book.Close()
		return nil, failure("这个 xlsx 文件里没有工作表")
	}
	rows, err := book.Rows(names[0])
	if err != nil {
		_ = book.Close()
		return nil, failure("这个 xlsx 文件的第一个工作表读不了，请在表格软件里另存一份再上传")
	}
	return &sheet{book: book, rows: rows}, nil
}

func (s *sheet) close() {
	_ = s.rows.Close()
	_ = s.book.Close() // removes what it unpacked
}

func (s *sheet) next() (_ row, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = failure("这个 xlsx 文件第 %d 行附近已损坏，请在表格软件里另存一份再上传", s.no)
		}
	}()
	for s.rows.Next() {
		// A forged number of a row would have the library count to it.
		if s.no++; s.no > excelize.TotalRows {
			return row{}, failure("这个 xlsx 文件的行号超过 %d，已损坏，请在表格软件里另存一份再上传", excelize.TotalRows)
		}
		cells, err := s.rows.Columns()
		if err != nil {
			return row{}, failure("这个 xlsx 文件第 %d 行读不了，请在表格软件里另存一份再上传", s.no)
		}
		for len(cells) > 0 && strings.TrimSpace(cells[len(cells)-1]) == "" {
			cells = cells[:len(cells)-1]
		}
		if len(cells) == 0 {
			continue
		}
		out, size := row{line: s.no, cells: cells}, 0
		for _, c := range cells {
			size += len(c)
		}
		if size > MaxLine {
			f := faultAt(s.no, "", "line_too_long", "这一行超过 %d MiB，请拆开", MaxLine>>20)
			out.fault = &f
		}
		if len(cells) > maxColumns {
			f := faultAt(s.no, "", "too_many_columns", "这一行有 %d 列，最多 %d 列，请删掉多余的列", len(cells), maxColumns)
			out.fault = &f
		}
		return out, nil
	}
	if err := s.rows.Error(); err != nil {
		return row{}, failure("这个 xlsx 文件第 %d 行以后读不了，请在表格软件里另存一份再上传", s.no)
	}
	return row{}, io.EOF
}

// heading makes names of columns comparable.
func heading(name string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "_", "", "-", "", "\u3000", "", "\uFEFF", "").Replace(simplified(name)))
}

// simplified writes the characters of headings as the mainland does: tables in
// Big5 have them in traditional ones.
func simplified(name string) string {
	return strings.NewReplacer("會", "会", "話", "话", "編", "编", "號", "号", "對", "对", "單", "单", "說", "说", "發", "发", "內", "内", "訊", "讯",
		"時", "时", "間", "间", "標", "标", "題", "题", "類", "类", "業", "业", "產", "产", "場", "场", "問", "问", "決", "决", "處", "处", "辦", "办",
		"驟", "骤", "負", "负", "責", "责", "結", "结", "滿", "满", "開", "开", "風", "风", "補", "补", "訓", "训", "來", "来", "關", "关", "閉", "闭",
		"訴", "诉", "戶", "户", "饋", "馈", "創", "创", "費", "费", "門", "门", "長", "长", "稱", "称", "經", "经", "驗", "验").Replace(name)
}

// isTime reports whether a column holds times, whose cells are serial numbers
// in a sheet. The names are those of package transcript.
func isTime(name string) bool {
	switch heading(name) {
	case "时间", "发送时间", "消息时间", "发言时间", "日期时间", "time", "sentat", "timestamp", "createdat", "datetime",
		"关闭时间", "结案时间", "完成时间", "closedat":
		return true
	}
	return false
}

// china is the zone of times that do not name one.
func china() *time.Location { return time.FixedZone("CST", 8*60*60) }

// serial reads the number that a sheet keeps for a time: days since 1900.
func serial(cell string) (time.Time, bool) {
	n, err := strconv.ParseFloat(cell, 64)
	if err != nil || !(n > 20_000 && n < 80_000) { // 1954 to 2119
		return time.Time{}, false
	}
	t, err := excelize.ExcelDateToTime(n, false)
	if err != nil {
		return time.Time{}, false
	}
	t = t.Round(time.Second)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, china()), true
}

// asCSV gives the rows of a sheet as CSV in UTF-8, which package transcript
// reads, and knows which row each line came from.
type asCSV struct {
	from  *sheet
	width int
	times []bool
	buf   bytes.Buffer
	line  int           // lines written so far
	rows  map[int]int   // first line of a row → number of the row
	bad   map[int]Fault // by row
}

func newAsCSV(from *sheet) *asCSV {
	return &asCSV{from: from, rows: map[int]int{}, bad: map[int]Fault{}}
}

func (a *asCSV) Read(p []byte) (int, error) {
	for a.buf.Len() == 0 {
		r, err := a.from.next()
		if err != nil {
			return 0, err
		}
		if r.fault != nil {
			a.bad[r.line] = *r.fault
			continue
		}
		if a.width == 0 {
			a.width = len(r.cells)
			for _, name := range r.cells {
				a.times = append(a.times, isTime(name))
			}
		}
		cells := r.cells
		for len(cells) < a.width {
			cells = append(cells, "")
		}
		for i := range min(len(cells), a.width) {
			if t, ok := serial(cells[i]); ok && a.times[i] {
				cells[i] = t.Format(time.RFC3339)
			}
		}
		a.rows[a.line+1] = r.line
		w := csv.NewWriter(&a.buf)
		if err := w.Write(cells); err != nil {
			return 0, fmt.Errorf("write row %d: %w", r.line, err)
		}
		w.Flush()
		a.line += bytes.Count(a.buf.Bytes(), []byte("\n"))
	}
	return a.buf.Read(p)
}

// fatal is the fault of an error after which nothing more can be read.
func fatal(err error) error {
	var place *transcript.Error
	if errors.As(err, &place) {
		return &Failure{plainly(place.Error())}
	}
	return err
}

// plainly rewrites a sentence that was written for the command line.
func plainly(message string) string {
	return strings.NewReplacer("--charset 指明", "参数 charset 指明", "--charset ", "参数 charset=").Replace(message)
}
