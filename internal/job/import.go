package job

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/transcript"
)

// What an import brings in.
const (
	Conversations = "conversations"
	Cases         = "cases"
)

// ImportRequest is what an import job is to do; its upload lies in the Folder.
type ImportRequest struct {
	Kind    string `json:"kind"`
	Format  string `json:"format"`
	Charset string `json:"charset,omitempty"` // "" is detected
	DryRun  bool   `json:"dry_run,omitempty"`
	// Team is whose new conversations become, Teams those whose conversations
	// may be added to; nil: everybody's.
	Team  string   `json:"team,omitempty"`
	Teams []string `json:"teams,omitempty"`
	SHA   string   `json:"sha256"` // of the upload
}

// ImportResult is what came of it.
type ImportResult struct {
	Added     int     `json:"added"`
	Updated   int     `json:"updated"`
	Unchanged int     `json:"unchanged"`
	Messages  int     `json:"messages,omitempty"` // that were new
	Past      int     `json:"past,omitempty"`     // conversations that were over and were closed
	Errors    []Fault `json:"errors,omitempty"`
	More      int     `json:"more,omitempty"` // errors that are not listed
}

// maxFaults is how many errors are kept; who has more has one mistake in every
// line.
const maxFaults = 1000

func (r *ImportResult) add(f Fault) {
	if f.Message = plainly(f.Message); len(r.Errors) == maxFaults {
		r.More++
		return
	}
	r.Errors = append(r.Errors, f)
}

// Live takes conversations in; *live.Service is one.
type Live interface {
	Ingest(ctx context.Context, r live.IngestRequest) (live.Receipt, error)
	Wait(ctx context.Context, key qingting.Key, version int64) (*live.State, error)
	Close(ctx context.Context, key qingting.Key, how qingting.Closing) (qingting.Conversation, error)
}

// Library is the case library of a tenant.
type Library interface {
	// Get returns qingting.ErrNotFound for an unknown case.
	Get(id string) (qingting.Case, error)
	// Put adds or replaces cases by id: all of them or, with an error, none.
	Put(ctx context.Context, cases []qingting.Case) error
}

// Importer does import jobs. All fields but Conceal are needed.
type Importer struct {
	Folder       *Folder
	Live         Live
	Conversation func(ctx context.Context, key qingting.Key) (qingting.Conversation, error)
	Library      func(tenant string) (Library, error)
	// CheckCase names what is wrong with a case; lines are filled in here.
	CheckCase func(qingting.Case) []Fault
	// Conceal replaces personal data; nil keeps it.
	Conceal func(string) (string, []qingting.Concealed)
	Now     func() time.Time
}

// Run is the Runner of imports. Everything is read and checked before anything
// is written, and then written in the order of the file, under ids that depend
// on nothing but the file: when the job is taken over, or the same file comes
// again, nothing is there twice.
func (im *Importer) Run(ctx context.Context, r *Run) ([]byte, error) {
	var req ImportRequest
	j := r.Job()
	if err := json.Unmarshal(j.Request, &req); err != nil {
		return nil, fmt.Errorf("read the request of job %s: %w", j.ID, err)
	}
	path := im.Folder.Path(j.Tenant, j.ID)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, failure("上传的文件已经不在了，请重新上传")
	}
	var result *ImportResult
	var err error
	switch req.Kind {
	case Conversations:
		result, err = im.conversations(ctx, r, j, &req, path)
	case Cases:
		result, err = im.cases(ctx, r, j, &req, path)
	default:
		return nil, fmt.Errorf("job %s: kind %q", j.ID, req.Kind)
	}
	if result == nil {
		return nil, err
	}
	body, bad := json.Marshal(result)
	if bad != nil {
		return nil, bad
	}
	return body, err
}

// errRows is a file with more rows than an import may have.
func errRows() error {
	return failure("超过 %d 行，请拆成几个文件；没有写入任何内容", MaxRows)
}

// talk is one conversation of the file.
type talk struct {
	transcript.Record
	rows int
}

// eachTalk reads the conversations of the file. visit gets a fault instead of
// a conversation that cannot be used.
func eachTalk(path, temporary string, req *ImportRequest, visit func(t *talk, f *Fault) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var from io.Reader = file
	o := transcript.Options{Format: transcript.FormatCSV, Charset: req.Charset}
	var rows *asCSV
	var long map[int]Fault
	switch req.Format {
	case FormatXLSX:
		s, err := openSheet(path, temporary)
		if err != nil {
			return err
		}
		defer s.close()
		rows = newAsCSV(s)
		from, o.Charset, long = rows, "utf-8", rows.bad
	case FormatJSONL:
		o.Format = transcript.FormatJSONL
		fallthrough
	default:
		if long, err = longLines(file, req.Charset); err != nil {
			return fatal(err)
		}
		if o.Format == transcript.FormatCSV {
			if from, err = plainHeading(file, &o, long); err != nil {
				return fatal(err)
			}
		}
	}
	in, err := transcript.NewReader(from, o)
	if err != nil {
		return fatal(err)
	}
	place := func(line int) int {
		if rows == nil {
			return line
		}
		return rows.rows[line]
	}
	done := map[int]bool{} // faults of long that were told
	for rec, err := range in.All() {
		if err != nil {
			return fatal(err)
		}
		line := place(rec.Line)
		rec.Line = line
		if f, bad := long[line]; bad && rows == nil {
			done[line] = true
			err = visit(nil, &f)
		} else if rec.Err != nil {
			f := faultOf(rec.Err, line, place, o.Format)
			err = visit(nil, &f)
		} else {
			err = visit(&talk{rec, max(1, len(rec.Transcript.Messages))}, nil)
		}
		if err != nil {
			return err
		}
	}
	for _, line := range slices.Sorted(mapKeys(long)) {
		if f := long[line]; !done[line] {
			if err := visit(nil, &f); err != nil {
				return err
			}
		}
	}
	return nil
}

// plainHeading returns the table as it is, or, when its heading is in
// traditional characters, as UTF-8 with the heading in simplified ones. Lines
// with bad bytes are then added to faults.
func plainHeading(file *os.File, o *transcript.Options, faults map[int]Fault) (io.Reader, error) {
	set, err := charsetOf(file, o.Charset)
	if err != nil {
		return nil, err
	}
	l, err := newLines(file, set)
	if err != nil {
		return nil, err
	}
	head, fault, err := l.next()
	if err != nil || fault != nil || simplified(head) == head {
		return file, nil // package transcript says what is wrong with it
	}
	o.Charset = "utf-8"
	return io.MultiReader(strings.NewReader(simplified(head)+"\n"), &decoded{lines: l, faults: faults}), nil
}

func mapKeys[V any](m map[int]V) func(func(int) bool) {
	return func(yield func(int) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// longLines finds the lines beyond MaxLine, which package transcript would
// take.
func longLines(file *os.File, charset string) (map[int]Fault, error) {
	set, err := charsetOf(file, charset)
	if err != nil {
		return nil, err
	}
	l, err := newLines(file, set)
	if err != nil {
		return nil, err
	}
	out := map[int]Fault{}
	for {
		_, long, err := l.raw()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if l.no++; long {
			out[l.no] = faultAt(l.no, "", "line_too_long", "这一行超过 %d MiB，请拆成多个会话", MaxLine>>20)
		}
	}
}

// faultOf turns the error of a record into a fault.
func faultOf(err error, line int, place func(int) int, format transcript.Format) Fault {
	var at *transcript.Error
	var in *qingting.InputError
	switch {
	case errors.As(err, &at):
		in = &at.InputError
		if n := place(at.Line); n > 0 {
			line = n
		}
	case !errors.As(err, &in):
		return Fault{line, "", "internal", "这一行没有读成，请检查后重新导入"}
	}
	f := Fault{line, in.Where, in.Code, in.Message}
	if format == transcript.FormatCSV {
		switch in.Code {
		case "missing_role", "unknown_role":
			f.Column = "角色"
		case "bad_time":
			f.Column = "时间"
		case "missing_id", "scattered_rows":
			f.Column = "会话编号"
		case "message_too_long":
			f.Column = "内容"
		}
	}
	return f
}

const (
	// pastAfter is how old the last message of a conversation, all of whose
	// messages say when they were sent, must be for the conversation to be over:
	// its alerts would be about yesterday.
	pastAfter = 24 * time.Hour
	// window is how many conversations of an import wait for their analysis at
	// once: the queue belongs to the conversations that go on.
	window = 32
	// readWithin is how long an import waits for one analysis.
	readWithin = 2 * time.Minute
)

// waiting is a conversation that was written and is not read yet.
type waiting struct {
	key     qingting.Key
	version int64
	past    time.Time // when it ended; zero: it goes on
}

func (im *Importer) conversations(ctx context.Context, r *Run, j store.Job, req *ImportRequest, path string) (*ImportResult, error) {
	var out ImportResult
	total, rows, failed := 0, 0, 0
	temporary := filepath.Dir(path)
	err := eachTalk(path, temporary, req, func(t *talk, f *Fault) error {
		if total++; t != nil {
			rows += t.rows
			f = im.check(ctx, j.Tenant, req, t)
		} else {
			rows++
		}
		if f != nil {
			failed++
			out.add(*f)
		}
		if rows > MaxRows {
			return errRows()
		}
		if total%256 == 0 {
			r.Report(total, 0, failed)
		}
		return ctx.Err()
	})
	if err != nil {
		return &out, err
	}
	if r.Report(total, 0, failed); req.DryRun {
		r.Report(total, total, failed)
		return &out, nil
	}

	checked := out
	out = ImportResult{Errors: checked.Errors, More: checked.More}
	done := failed
	var pending []waiting
	settle := func() error {
		w := pending[0]
		pending = pending[1:]
		return im.settle(ctx, w, j.By, &out)
	}
	err = eachTalk(path, temporary, req, func(t *talk, _ *Fault) error {
		if t == nil || im.check(ctx, j.Tenant, req, t) != nil {
			return ctx.Err()
		}
		w, err := im.ingest(ctx, j, req, t, &out)
		if done++; err != nil {
			f, bad := refused(err, t.Line)
			if !bad {
				return err
			}
			failed++
			out.add(f)
		} else {
			pending = append(pending, w)
		}
		if len(pending) == window {
			if err := settle(); err != nil {
				return err
			}
		}
		r.Report(total, done, failed)
		return ctx.Err()
	})
	for err == nil && len(pending) > 0 {
		err = settle()
	}
	slices.SortStableFunc(out.Errors, func(a, b Fault) int { return a.Line - b.Line })
	return &out, err
}

// check is what is wrong with a conversation beyond what package transcript
// sees; nil: nothing.
func (im *Importer) check(ctx context.Context, tenant string, req *ImportRequest, t *talk) *Fault {
	for field, v := range map[string]string{"id": t.Transcript.ID, "channel": t.Transcript.Channel} {
		if len(v) > 128 || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r == '/' || r == 0x7f }) {
			f := faultAt(t.Line, field, "bad_"+field, "最多 128 个字节，不能有空格、斜线和控制字符")
			return &f
		}
	}
	if utf8.RuneCountInString(t.Transcript.CustomerRef) > 256 {
		f := faultAt(t.Line, "customer_ref", "bad_customer_ref", "最多 256 个字")
		return &f
	}
	if req.Teams == nil || t.Transcript.ID == "" {
		return nil
	}
	// Another team's conversation is none of the importer's business.
	c, err := im.Conversation(ctx, qingting.Key{Tenant: tenant, ID: t.Transcript.ID})
	if err == nil && !slices.Contains(req.Teams, c.Team) {
		f := faultAt(t.Line, "id", "not_found", "这个编号的会话不存在，或者您无权写入")
		return &f
	}
	return nil
}

// ingest writes one conversation.
func (im *Importer) ingest(ctx context.Context, j store.Job, req *ImportRequest, t *talk, out *ImportResult) (waiting, error) {
	c := t.Transcript
	if c.ID == "" {
		c.ID = fmt.Sprintf("import-%s-%d", req.SHA[:16], t.Line)
	}
	var last time.Time
	timed := true
	for i := range c.Messages {
		m := &c.Messages[i]
		if m.ID == "" {
			m.ID = fmt.Sprintf("import-%d", i+1)
		}
		timed = timed && !m.SentAt.IsZero()
		if m.SentAt.After(last) {
			last = m.SentAt
		}
	}
	w := waiting{key: qingting.Key{Tenant: j.Tenant, ID: c.ID}}
	var receipt live.Receipt
	err := persist(ctx, func() (err error) {
		receipt, err = im.Live.Ingest(ctx, live.IngestRequest{
			Tenant: j.Tenant, Conversation: c.ID, Channel: c.Channel, CustomerRef: c.CustomerRef, Team: req.Team, Messages: c.Messages,
		})
		return err
	}, live.ErrBusy)
	if err != nil {
		return w, err
	}
	fresh := 0
	for _, r := range receipt.Results {
		if r.Status == live.StatusCreated {
			fresh++
		}
	}
	w.version = receipt.Conversation.Version
	switch {
	case fresh == 0:
		out.Unchanged++
	case w.version <= 1:
		out.Added++
	default:
		out.Updated++
	}
	out.Messages += fresh
	// Only what came in one piece is known to be whole: a conversation that was
	// there before goes on as it was.
	if timed && im.Now().Sub(last) > pastAfter && w.version <= 1 && receipt.Conversation.State == qingting.ConversationOpen {
		w.past = last
	}
	return w, nil
}

// settle waits until a conversation has been read, and closes one that is
// over.
func (im *Importer) settle(ctx context.Context, w waiting, by string, out *ImportResult) error {
	within, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	state, err := im.Live.Wait(within, w.key, w.version)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, live.ErrClosed):
		return err
	}
	if w.past.IsZero() || err == nil && state.Conversation.Version != w.version {
		return nil // it goes on
	}
	how := qingting.Closing{At: w.past.UTC().Truncate(time.Microsecond), By: by, Outcome: qingting.OutcomeUnresolved, Note: "历史会话，导入时已结束"}
	if err == nil { // a conversation that could not be read is over as well
		var a struct {
			Outcome struct {
				Code qingting.Outcome `json:"code"`
			} `json:"outcome"`
		}
		if json.Unmarshal(state.Analysis, &a) == nil && slices.Contains(qingting.Outcomes(), a.Outcome.Code) {
			how.Outcome = a.Outcome.Code
		}
	}
	err = persist(ctx, func() error { _, err := im.Live.Close(ctx, w.key, how); return err }, live.ErrBusy)
	if err == nil {
		out.Past++
	}
	return err
}

// refused is the fault of a conversation that could not be written; ok is false
// when the job cannot go on.
func refused(err error, line int) (f Fault, ok bool) {
	var in *qingting.InputError
	switch {
	case errors.As(err, &in):
		return Fault{line, in.Where, in.Code, in.Message}, true
	case errors.Is(err, store.ErrConflict):
		return faultAt(line, "", "conflict", "和已保存的会话冲突：同一条消息编号的内容、角色或次序不同"), true
	}
	return Fault{}, false
}

// batch is how many cases are written at once.
const batch = 64

func (im *Importer) cases(ctx context.Context, r *Run, j store.Job, req *ImportRequest, path string) (*ImportResult, error) {
	var out ImportResult
	library, err := im.Library(j.Tenant)
	if err != nil {
		return nil, err
	}
	var cases []qingting.Case
	ids := map[string]int{}
	total, failed := 0, 0
	err = eachCase(path, filepath.Dir(path), req, func(line int, c qingting.Case, faults []Fault) error {
		if total++; total > MaxRows {
			return errRows()
		}
		if len(faults) == 0 {
			im.conceal(&c)
			if c.ID == "" {
				c.ID = caseID(&c)
			}
			if faults = im.CheckCase(c); len(faults) == 0 && ids[c.ID] > 0 {
				faults = append(faults, faultAt(line, "id", "duplicate_id", "编号和第 %d 行重复", ids[c.ID]))
			}
		}
		if len(faults) > 0 {
			failed++
			for _, f := range faults {
				f.Line = line
				out.add(f)
			}
			return nil
		}
		ids[c.ID] = line
		cases = append(cases, c)
		return ctx.Err()
	})
	if err != nil {
		return &out, err
	}
	r.Report(total, failed, failed)
	for done := 0; done < len(cases); {
		n := min(batch, len(cases)-done)
		part := cases[done : done+n]
		done += n
		added := 0
		part = slices.DeleteFunc(slices.Clone(part), func(c qingting.Case) bool {
			kept, err := library.Get(c.ID)
			if err != nil {
				added++
			}
			return err == nil && same(kept, c)
		})
		if !req.DryRun && len(part) > 0 {
			if err := persist(ctx, func() error { return library.Put(ctx, slices.Clone(part)) }); err != nil {
				return &out, err
			}
		}
		out.Added += added
		out.Updated += len(part) - added
		out.Unchanged += n - len(part)
		r.Report(total, failed+done, failed)
		if err := ctx.Err(); err != nil {
			return &out, err
		}
	}
	return &out, nil
}

// same reports whether a case is as it was, so that it need not be written.
func same(a, b qingting.Case) bool {
	x, errA := json.Marshal(plain(a))
	y, errB := json.Marshal(plain(b))
	return errA == nil && errB == nil && string(x) == string(y)
}

// plain is a case with its time as the store gives it back.
func plain(c qingting.Case) qingting.Case {
	if !c.ClosedAt.IsZero() {
		c.ClosedAt = c.ClosedAt.UTC().Truncate(time.Microsecond)
	}
	if len(c.Steps) == 0 {
		c.Steps = nil
	}
	return c
}

// caseID names a case by what it says, so that it is one case however often it
// comes.
func caseID(c *qingting.Case) string {
	b, _ := json.Marshal(plain(*c)) // plain data: it cannot fail
	sum := sha256.Sum256(b)
	return "case-" + hex.EncodeToString(sum[:8])
}

// conceal hides the personal data of a case.
func (im *Importer) conceal(c *qingting.Case) {
	if im.Conceal == nil {
		return
	}
	for _, text := range []*string{&c.Title, &c.Scene, &c.Problem, &c.Solution, &c.Lesson} {
		*text, _ = im.Conceal(*text)
	}
	for i := range c.Steps {
		c.Steps[i], _ = im.Conceal(c.Steps[i])
	}
}
