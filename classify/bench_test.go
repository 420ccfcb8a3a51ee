package classify

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkClassify(b *testing.B) {
	doc := newBench(b).doc(
		customer("你好，我上个月在你们营业厅办了宽带，当时师傅说三天之内上门安装，结果等了一个星期也没有人联系我！打客服电话打了五六次，每次都说已经催了让我等，误工费谁来赔？"),
		agent("非常抱歉给您带来不便，请您提供一下办理时登记的手机号码和安装地址，我这边马上帮您核实并反馈给装维部门，工作人员会尽快与您联系，请您保持电话畅通，感谢您的理解与支持。"),
		customer("手机号都说了三遍了！199元的初装费已经扣了，网一天都没用上，现在又跟我说没有端口要等扩容，当初办的时候怎么不说？"),
		agent("您好，经核实您所在的小区端口确实已满，目前正在申请扩容，预计还需要十个工作日左右，给您造成的不便我们深表歉意，如果您不愿意等待，可以到原营业厅办理退费手续。"),
		customer("今天之内给我解决，要么装好要么把199元退给我！！！"),
	)
	doc.Scores = scores()
	c := New()
	for b.Loop() {
		_, err := c.Classify(context.Background(), doc)
		require.NoError(b, err)
	}
}
