package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting/internal/store"
)

func (p *program) backupCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "backup", Short: "备份数据库，服务运行时也可以",
		Long: `把数据库写成一个新文件，服务可以继续写。开始之前已经应答的写入都在备份里。
数据目录里的 ` + secretName + ` 也要一起保存：没有它，以前隐去的客户编号对不上。
恢复：停掉服务，把备份放回数据目录，改名为 ` + databaseName + `，并删掉旁边的 ` + databaseName + `-wal 和 ` + databaseName + `-shm。`,
		Example: "  qingting backup create 备份.db --data /var/lib/qingting\n  qingting backup check 备份.db",
		Args:    subcommand, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var data string
	create := &cobra.Command{
		Use: "create", Short: "写一个备份", Example: "  qingting backup create 备份.db --data /var/lib/qingting",
		Args: exactly(1, "请给出备份文件的名字"), Annotations: map[string]string{"args": "文件"},
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.backup(cmd.Context(), p.dataFolder(data), args[0])
		},
	}
	create.Flags().StringVar(&data, "data", "", "数据目录，默认 $QINGTING_DATA 或 ./"+defaultData)
	check := &cobra.Command{
		Use: "check", Short: "检查一个数据库或备份是否完好，不改动它", Example: "  qingting backup check 备份.db",
		Args: exactly(1, "请给出文件"), Annotations: map[string]string{"args": "文件"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := store.CheckFile(cmd.Context(), args[0]); err != nil {
				if cmd.Context().Err() != nil {
					return err
				}
				return dataError(err)
			}
			_, err := fmt.Fprintln(p.out, "完好")
			return err
		},
	}
	root.AddCommand(create, check)
	return root
}

func (p *program) backup(ctx context.Context, data, file string) error {
	kept, err := openKept(ctx, filepath.Join(data, databaseName))
	if err != nil {
		return err
	}
	defer kept.Close()
	if err := kept.Backup(ctx, file); err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "已备份到 %s，%.1f MB\n", file, float64(info.Size())/1e6)
	return err
}

// openKept opens a database that must be there already.
func openKept(ctx context.Context, path string) (*store.Store, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, dataError(fmt.Errorf("找不到数据库 %s，请检查路径", path))
	}
	return store.Open(ctx, path)
}
