package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/encoder"
	"github.com/qingting-ai/qingting/internal/lexicon"
)

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "显示版本、模型和词典的编号",
		Example: "  qingting version",
		Args:    exactly(0, "version 不接受参数"),
		RunE: func(*cobra.Command, []string) error {
			model, err := loadModel()
			if err != nil {
				return err
			}
			enc, err := encoder.New(encoder.Options{})
			if err != nil {
				return err
			}
			lex, err := lexicon.New()
			if err != nil {
				return err
			}
			commit, dirty := commitOf()
			_, err = fmt.Fprintf(p.out, "倾听 qingting %s\n提交   %s%s\n接口   %s\n标签   %s\n模型   %s（权重和词典合起来，就是分析结果里的 model）\n权重   %s\n词典   %s\n句向量 %s\n内核   %s\nGo     %s %s/%s\n",
				version, commit, dirty, qingting.SchemaVersion, qingting.TaxonomyVersion, hashOf(model.ID(), lex.ID()), model.ID(), lex.ID(), enc.ID(), enc.Kernel(),
				runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// commitOf is what the go command recorded of the sources.
func commitOf() (commit, dirty string) {
	commit = "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return commit, ""
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "（有未提交的改动）"
		}
	}
	return commit, dirty
}
