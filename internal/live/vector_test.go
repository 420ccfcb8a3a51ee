package live

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// stages are all of a pipeline that this test needs: they note which messages
// the model sees with a vector.
type stages struct {
	seen    string // one character a message: v has a vector, . has none
	encoded int
}

func (*stages) Clean(s string) (clean []rune, from, to []int32) {
	for i, c := range []rune(s) {
		clean, from, to = append(clean, c), append(from, int32(i)), append(to, int32(i+1))
	}
	return clean, from, to
}

func (*stages) Segment([]rune) []qingting.Token                  { return nil }
func (*stages) FindSlots([]rune, time.Time) []qingting.SlotMatch { return nil }
func (*stages) Match(*qingting.Document) []qingting.Hit          { return nil }
func (*stages) ID() string                                       { return "test" }
func (*stages) Dim() int                                         { return 1 }

func (s *stages) Encode(_ context.Context, texts []string) ([]qingting.Vector, error) {
	s.encoded += len(texts)
	out := make([]qingting.Vector, len(texts))
	for i := range out {
		out[i] = qingting.Vector{1}
	}
	return out, nil
}

func (s *stages) Score(d *qingting.Document) qingting.Scores {
	seen := make([]byte, len(d.Messages))
	for i, m := range d.Messages {
		seen[i] = '.'
		if m.Vector != nil {
			seen[i] = 'v'
		}
	}
	s.seen = string(seen)
	return qingting.Scores{}
}

func (*stages) Classify(context.Context, *qingting.Document) (c qingting.Classification, err error) {
	return c, nil
}

func (*stages) Assess(context.Context, *qingting.Document, *qingting.Classification) (f qingting.Feeling, err error) {
	return f, nil
}

// A conversation that is read from the store again gets vectors for the
// messages the pipeline reads with one, and for no others: the limits here are
// those of the root package.
func TestVectors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		n      int // messages
		silent int // messages of the agent at the end
	}{{"short", 30, 2}, {"at the limit", 200, 0}, {"long", 500, 0}, {"long and silent", 500, 90}} {
		t.Run(tt.name, func(t *testing.T) {
			st := &stages{}
			p, err := qingting.NewPipeline(qingting.Stages{Cleaner: st, Segmenter: st, Slots: st, Encoder: st, Matcher: st, Scorer: st, Classifier: st, Assessor: st})
			require.NoError(t, err)
			items := make([]*item, tt.n)
			talk := qingting.Transcript{}
			for i := range items {
				m := qingting.Message{ID: strconv.Itoa(i), Seq: i + 1, Role: qingting.RoleCustomer, Text: "话"}
				if i >= tt.n-tt.silent {
					m.Role = qingting.RoleAgent
				}
				items[i] = &item{StoredMessage: qingting.StoredMessage{Message: m}}
				talk.Messages = append(talk.Messages, m)
			}
			_, err = p.Analyze(t.Context(), talk, qingting.ModeFull)
			require.NoError(t, err)
			whole := st.seen
			short := talk
			short.Messages = talk.Messages[:tt.n-tt.silent-1]
			_, err = p.Analyze(t.Context(), short, qingting.ModeFull)
			require.NoError(t, err)
			before := st.seen

			st.encoded = 0
			s := &Service{parts: Parts{}, opt: Options{}}
			s.opt.defaults(1)
			messages, err := s.prepare(t.Context(), p, items, qingting.ModeFull)
			require.NoError(t, err)
			require.LessOrEqual(t, st.encoded, 200+tt.silent+1)
			_, err = p.AnalyzePrepared(t.Context(), qingting.Transcript{}, messages, qingting.ModeFull)
			require.NoError(t, err)
			require.Equal(t, whole, st.seen)
			last := lastCustomer(messages)
			require.Equal(t, tt.n-tt.silent-1, last)
			_, err = p.Level(t.Context(), qingting.Transcript{}, messages[:last], qingting.ModeFull)
			require.NoError(t, err)
			require.Equal(t, before, st.seen)

			st.encoded = 0
			_, err = s.prepare(t.Context(), p, items, qingting.ModeFull)
			require.NoError(t, err)
			require.Zero(t, st.encoded, "what was prepared is kept")
			messages, err = s.prepare(t.Context(), p, items, qingting.ModeFast)
			require.NoError(t, err)
			for _, m := range messages {
				require.Nil(t, m.Vector)
			}
		})
	}
}
