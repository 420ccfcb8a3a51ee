package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/retrieval"
)

func (p *program) evalSpeedCommand() *cobra.Command {
	var cases, rounds int
	cmd := &cobra.Command{
		Use:   "speed",
		Short: "整条流水线的速度：启动、full、fast、内存",
		Long: `在本机测量：启动到就绪的时间；full 模式单核分析一段 6 条消息的会话（案例库放大到 10,000 个）的中位和 p95；
fast 模式用全部核每秒能分析多少段；常驻内存。会话是为此写的，每次换几个字，没有缓存可用。`,
		Example: "  qingting eval speed",
		Args:    exactly(0, "eval speed 不接受参数"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cases < 1 || rounds < 1 {
				return usageError("--cases 和 --rounds 至少是 1")
			}
			return p.evalSpeed(cmd.Context(), cases, rounds)
		},
	}
	cmd.Flags().IntVar(&cases, "cases", 10_000, "案例库放大到多少个")
	cmd.Flags().IntVar(&rounds, "rounds", 200, "full 模式分析多少段")
	return cmd
}

// speedMessages are one conversation; %d is another number each time.
var speedMessages = []qingting.Message{
	{Role: qingting.RoleCustomer, Text: "你好，我上个月%d号办的两百兆宽带，从装好那天起晚上八点以后网速就掉到十几兆，看个视频都要转半天圈。"},
	{Role: qingting.RoleAgent, Text: "您好，非常抱歉给您带来不便，请问您重启过光猫吗？方便提供一下宽带账号吗？"},
	{Role: qingting.RoleCustomer, Text: "账号是0571%d88，光猫重启了不知道多少遍了，你们的师傅也来过一次，说换个网线就好，结果当天晚上又是老样子！"},
	{Role: qingting.RoleAgent, Text: "这边查询到您的线路在%d号有过一次检修记录，我再为您登记一次上门，预计48小时内联系您。"},
	{Role: qingting.RoleCustomer, Text: "又是48小时？我打了%d次电话了，每次都说48小时，没有一次来人的。一个月129块钱就这种服务？再不解决我就退费销户，顺便去工信部投诉你们。"},
	{Role: qingting.RoleAgent, Text: "非常理解您的心情，我马上帮您加急处理，今天%d点前给您回电。"},
}

func speedTranscript(i int) qingting.Transcript {
	t := qingting.Transcript{ID: fmt.Sprintf("speed-%d", i)}
	for _, m := range speedMessages {
		m.Text = strings.ReplaceAll(m.Text, "%d", fmt.Sprint(2+i%29))
		t.Messages = append(t.Messages, m)
	}
	return t
}

func (p *program) evalSpeed(ctx context.Context, cases, rounds int) error {
	start := time.Now()
	e, err := p.build(ctx, buildOptions{mode: qingting.ModeFull})
	if err != nil {
		return err
	}
	defer e.close()
	fmt.Fprintf(p.out, "启动到就绪        %8.2f s\n", time.Since(start).Seconds())
	runtime.GC()
	fmt.Fprintf(p.out, "就绪时常驻内存    %8d MB\n", residentMB())

	// Fast mode first, on the library as it comes, with every core.
	const fastSeconds = 3
	var done [1 << 6]int
	workers := min(runtime.GOMAXPROCS(0), len(done))
	start = time.Now()
	var group errgroup.Group
	for w := range workers {
		group.Go(func() error {
			for i := w; time.Since(start) < fastSeconds*time.Second; i += workers {
				if _, err := e.pipeline.Analyze(ctx, speedTranscript(i), qingting.ModeFast); err != nil {
					return err
				}
				done[w]++
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	total := 0
	for _, n := range done {
		total += n
	}
	fmt.Fprintf(p.out, "fast，%2d 核        %8.0f 段/s\n", workers, float64(total)/time.Since(start).Seconds())

	if e.parts.Seed, err = manyCases(cases, e.parts.Encoder); err != nil {
		return err
	}
	library, err := retrieval.NewLibrary(ctx, e.parts)
	if err != nil {
		return err
	}
	stages := e.stages
	stages.Retriever = library
	pipeline, err := qingting.NewPipeline(stages)
	if err != nil {
		return err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	times := make([]float64, 0, rounds)
	stage := map[string][]float64{}
	for i := range rounds + 5 {
		start := time.Now()
		a, err := pipeline.Analyze(ctx, speedTranscript(i), qingting.ModeFull)
		if err != nil {
			return err
		}
		if i < 5 {
			continue // buffers grow in the first few
		}
		times = append(times, float64(time.Since(start).Microseconds())/1000)
		for name, ms := range a.Latency.Stages {
			stage[name] = append(stage[name], ms)
		}
	}
	fmt.Fprintf(p.out, "full，单核，%d 个案例：中位 %.1f ms，p95 %.1f ms\n", library.Len(), quantile(times, 0.5), quantile(times, 0.95))
	for _, name := range []string{"prepare", "score", "classify", "assess", "retrieve", "suggest"} {
		fmt.Fprintf(p.out, "  %-10s 中位 %7.3f ms  p95 %7.3f ms\n", name, quantile(stage[name], 0.5), quantile(stage[name], 0.95))
	}
	fmt.Fprintf(p.out, "此时常驻内存      %8d MB\n", residentMB())
	return nil
}

// manyCases multiplies the starter library: mixed problems, and vectors of
// random direction, since a scan costs the same for every vector.
func manyCases(n int, enc qingting.Encoder) ([]qingting.Case, error) {
	base, err := retrieval.Starter()
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(11, 12))
	out := make([]qingting.Case, n)
	for i := range out {
		c := base[i%len(base)]
		other := base[rng.IntN(len(base))]
		c.ID = fmt.Sprintf("many-%06d", i)
		c.Problem += other.Problem
		c.Vector, c.VectorFrom = make(qingting.Vector, enc.Dim()), enc.ID()
		norm := 0.0
		for k := range c.Vector {
			x := rng.NormFloat64()
			c.Vector[k] = float32(x)
			norm += x * x
		}
		for k := range c.Vector {
			c.Vector[k] /= float32(math.Sqrt(norm))
		}
		out[i] = c
	}
	return out, nil
}

func quantile(xs []float64, q float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	return xs[int(q*float64(len(xs)-1)+0.5)]
}

// residentMB reads the resident set size where /proc tells it, else 0.
func residentMB() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kb int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	return 0
}
