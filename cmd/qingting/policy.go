package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting/suggest"
	"github.com/qingting-ai/qingting/suggest/policy"
)

// policyHelp describes the flag wherever it stands.
const policyHelp = "处理政策文件（YAML），默认 $QINGTING_POLICY 或内置政策"

func (p *program) policyCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "policy", Short: "处理政策：查看默认的，检查自己的",
		Long: `处理政策决定回复草稿里的权限（赔付、优惠券、退款的上限）、时限、负责人、补救方式和禁用语。

把默认政策存成文件，改好、检查通过后，用 serve 或 triage 的 --policy 指定：
  qingting policy show > 政策.yaml
  qingting policy check 政策.yaml
  qingting serve --policy 政策.yaml
不认识的键、写错的代码、超出范围的数都会被拒绝，并指出行号。政策改动后重启服务生效。`,
		Args:    subcommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Example: "  qingting policy show > 政策.yaml\n  qingting policy check 政策.yaml",
	}
	show := &cobra.Command{
		Use: "show", Short: "输出默认政策，带说明", Args: exactly(0, "show 不接受参数"),
		Example: "  qingting policy show > 政策.yaml",
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(p.out, policy.DefaultText())
			return err
		},
	}
	check := &cobra.Command{
		Use: "check", Short: "检查一个政策文件", Args: exactly(1, "请给出政策文件"), Annotations: map[string]string{"args": "文件"},
		Example: "  qingting policy check 政策.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			rules, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			if _, err := newSuggester(rules, buildOptions{policy: args[0]}); err != nil {
				return err
			}
			a := rules.Authority
			yuan := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) + " 元" }
			_, err = fmt.Fprintf(p.out, "检查通过。一线权限：赔付 %s、优惠券 %s、退款 %s，超过由%s审批；偏好 %d 组，禁用语 %d 条\n",
				yuan(a.Compensate), yuan(a.Coupon), yuan(a.Refund), a.Approver, len(rules.Preferences), len(rules.Forbidden))
			return err
		},
	}
	root.AddCommand(show, check)
	return root
}

// policyFile is the flag, else $QINGTING_POLICY, else the built-in policy.
func (p *program) policyFile(flag string) string {
	if flag != "" {
		return flag
	}
	return p.getenv("QINGTING_POLICY")
}

// readPolicy reads a policy file, or, without a name, the built-in policy.
func readPolicy(file string) (policy.Policy, error) {
	if file == "" {
		return policy.Default()
	}
	f, err := os.Open(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return policy.Policy{}, dataError(fmt.Errorf("找不到政策文件 %s，请检查路径", file))
	case err != nil:
		return policy.Policy{}, dataError(fmt.Errorf("打不开政策文件 %s：%w", file, err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, policy.MaxBytes+1))
	if err != nil {
		return policy.Policy{}, dataError(fmt.Errorf("读不了政策文件 %s，请检查它是不是一个普通文件", file))
	}
	rules, err := policy.Parse(data)
	if err != nil {
		return policy.Policy{}, dataError(fmt.Errorf("%s：%w", file, err))
	}
	return rules, nil
}

// newSuggester drafts by a policy, that of o.policy.
func newSuggester(rules policy.Policy, o buildOptions) (*suggest.Suggester, error) {
	drafts, err := suggest.New(rules, suggest.Options{Now: o.now})
	if err != nil && o.policy != "" {
		return nil, dataError(fmt.Errorf("%s：%w", o.policy, err))
	}
	return drafts, err
}
