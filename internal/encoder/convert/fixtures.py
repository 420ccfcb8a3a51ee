#!/usr/bin/env python3
"""Write the expected results that the tests of package encoder compare with.

    python3 fixtures.py MODEL.onnx TOKENIZER.json ../testdata

MODEL.onnx and TOKENIZER.json are the fp32 files that convert.py reads. Output:

sentences.txt  506 invented texts, one a line: 500 as customers write to a
               service desk, of 1 to 300 characters, made from the templates
               below with a fixed seed; then 6 of more than 510 tokens.
hostile.txt    texts that try the tokenizer, as quoted Go strings, one a line.
tokens.txt     ids of sentences.txt, then of hostile.txt, one line each,
               without [CLS] and [SEP]; from the tokenizers library.
vectors.f16    the unit vectors of sentences.txt, 512 little-endian IEEE
               float16 each; from ONNX Runtime in fp32. Rounding to float16
               moves a cosine by less than 1e-6.

The tokenizer of the artifact says lowercase=false, although its vocabulary
holds no upper-case letter, so that APP and VIP would all become [UNK]. BERT's
own setting for this vocabulary is lower case (and then no accents); with it
APP打不开了 is nearer to 手机软件打不开 (0.83) than to 鞋子打不开了 (0.66), without
it both are 0.73. So this script and package encoder use lower case. Names of
special tokens in a text are ordinary characters.

Made with Python 3.11.7, numpy 2.4.6, onnxruntime 1.31.1, tokenizers 0.23.3.
"""

import random
import sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer, normalizers

WINDOW = 510

PRODUCTS = """电饭煲 扫地机器人 空气炸锅 无线耳机 平板电脑 智能门锁 滚筒洗衣机 双开门冰箱 燃气热水器 投影仪 行车记录仪
羽绒服 运动鞋 连衣裙 儿童安全座椅 婴儿奶粉 面霜 口红套装 猫粮 大米 车厘子 大闸蟹 生日蛋糕 螺蛳粉 宽带 流量套餐 信用卡 贷款
保险 机票 酒店 网约车 共享单车 健身卡 网课 演唱会门票 会员 年卡 净水器滤芯 窗帘 沙发 床垫 灯具 电动牙刷 血压计 电动车电池
iPhone充电线 type-c数据线 SSD硬盘 5G手机 iPad保护壳 蓝牙音箱mini WiFi6路由器 4K电视""".split()
PROBLEMS = """用了三天就坏了 一直充不进电 屏幕闪个不停 漏水漏了一地 跟图片完全不一样 发错颜色了 少发了一件 打开就是碎的
尺码偏小穿不了 闻着一股怪味 保质期已经过了 噪音大得没法睡觉 连不上网 动不动就死机 扣了我两次钱 自动续费没有任何提醒
到现在还没发货 物流五天没动过 显示签收但我没收到 快递员态度特别差 师傅上门乱收费 装好以后还是漏 退货被拒绝
退款一直不到账 券用不了 降价了不给补差价 说好的赠品没给 发票开不出来 客服电话打不通 机器人答非所问 承诺的时间又过了
账号被冻结了 密码改不了 验证码收不到 积分莫名其妙清零 座位被换到最后一排 房间里有蟑螂 司机绕路多收钱 订单被单方面取消
合同里没写这个费用 征信上多了一笔逾期 理赔材料交了三次还要补 充值没到账 报了故障没人来修 换新之后同样的毛病又出现了""".split()
TIMES = "昨天 上周三 前天晚上 双十一那天 今天早上 上个月15号 国庆期间 半个月前 三月初 刚刚 618的时候 周末 一年前 2月28日".split()
CHANNELS = "在你们店里 在你们APP上 在官网 在直播间 在小程序 通过客服 在线下门店 在你们旗舰店 朋友推荐".split()
ACTIONS = """打了八次电话都没人接 在线客服排队等了四十分钟 提交了工单没有下文 申请售后被驳回 拍了照片和视频发给你们
按照说明书操作了好几遍 重启了也没用 找了快递公司说是商家的问题 问了三个客服三种说法 已经等了整整两个星期
把东西寄回去了你们又说没收到 换了一个地址重新下单 截图都保存着""".split()
DEMANDS = """请尽快给我退款 麻烦换一个新的 你们打算怎么赔偿 我要求全额退款 能不能派人上门看看 请给个说法
今天之内必须解决 把多扣的钱退给我 补发一件就行 帮我查一下到哪了 希望你们经理给我回个电话 再不处理我就去12315投诉
可以开一张发票吗 请问什么时候能好 给我道歉 按三倍赔 不要再敷衍我了 把差价补给我""".split()
FEELINGS = """太让人失望了 真的很生气 我都快急哭了 一点诚意都没有 以后再也不会买了 体验非常差 孩子等着用呢 老人家根本不会弄
说实话之前一直挺信任你们的 我不是来吵架的 浪费我大把时间 气死我了！！！ 无语了…… 麻烦理解一下 谢谢啦 辛苦你们了
服务态度倒是不错 东西整体还可以 你们是骗子吗 欺负老实人 😡😡 🙏 呵呵""".split()
OPENERS = "你好， 您好！ 喂， 在吗？ 请问一下， 有人吗 客服你好 我想反映一个问题， 那个， 再说一遍， 麻烦问下".split() + [""] * 9
SHORT = """嗯 好 ？ 啊？ 在吗 不行 退款 你好 谢谢 转人工 人工！ 没收到 坏了 还没到 多少钱 怎么退 太慢了 什么时候发货 我要投诉 投诉
不用了 可以的 知道了 随便吧 算了 你说呢 骗子 已经好了 解决了谢谢 呵呵 😡 无语 ok OK了 hello 1 123 急急急 快点 在不在 喂喂喂
怎么回事 没人管吗 等着呢 好的明白 不是这个 我说的是另外一单 打错了 为什么 滚 别骗我 没钱 升级了打不开 app闪退 VIP没了""".split()
DETAIL = ["订单号是{n}", "一共付了{p}元", "尾号{t}的那笔", "型号是{m}", "手机尾号{t}", "运费{q}块也要退", "活动价{p}，现在{q}",
          "分{q}期还没还完", "版本v{a}.{b}.{c}", "错误代码E{t}", "买了{q}件", "WiFi信号只有{q}格", "重量差了{q}00g", "网速才{q}Mbps"]
ODD = ["妳們這個{0}{1}，請儘快處理", "您好，我購買的{0}{1}，謝謝", "我买的{0}{1}肿么办", "{0}{1}，你门到底管不管", "{0}  {1} 。。。",
       "{0}{1}！！！！！！", "Ｔ恤和{0}都{1}，１２３４５", "my {0} {1}, please help", "{0}—{1}——", "【{0}】{1}（急）", "{0}/{1}～",
       "就是那个{0}然后那个{1}然后我就然后", "“{0}”{1}，‘请’回复", "{0}\t{1}", "关于{0}：1、{1}；2、{2}；3、{3}", "{0}…{1}…在线等，挺急的",
       "@客服 {0}{1} #投诉#", "{0}{1}https://example.com/o?id=12&x=3", "问{0}的事，邮箱a.b-c@example.com，{1}", "{0}¥99.90{1}"]


def sentences(rng):
    """500 texts of rising length, no two alike."""
    def detail():
        return rng.choice(DETAIL).format(
            n=rng.randrange(10**9, 10**10), p=rng.choice([9.9, 59, 128, 299.5, 1999, 4688]), t=rng.randrange(1000, 9999),
            m=rng.choice(["KF-35GW", "X200 Pro", "A7", "RTX4060", "MX-3"]), q=rng.randrange(2, 24),
            a=rng.randrange(1, 9), b=rng.randrange(10), c=rng.randrange(30))

    def clause():
        return rng.choice([
            lambda: rng.choice(PRODUCTS) + rng.choice(PROBLEMS),
            lambda: rng.choice(TIMES) + rng.choice(CHANNELS) + "买的" + rng.choice(PRODUCTS) + rng.choice(PROBLEMS),
            lambda: "我" + rng.choice(ACTIONS), lambda: rng.choice(DEMANDS), lambda: rng.choice(FEELINGS), detail,
            lambda: "你们的" + rng.choice(PRODUCTS) + "是不是" + rng.choice(PROBLEMS) + "的很多",
            lambda: rng.choice(TIMES) + "就跟你们说过" + rng.choice(PROBLEMS),
            lambda: "如果" + rng.choice(PROBLEMS) + "，该怎么办", lambda: "我妈的" + rng.choice(PRODUCTS) + "也" + rng.choice(PROBLEMS),
        ])()

    out = list(SHORT)
    while len(out) < 100:
        out.append(rng.choice(ODD).format(rng.choice(PRODUCTS), *rng.sample(PROBLEMS, 3)))
    while len(out) < 500:
        # Most messages are short; the longest have 300 characters.
        want = int(min(300, 6 + rng.expovariate(1 / 40))) if rng.random() < 0.85 else rng.randrange(120, 301)
        text = rng.choice(OPENERS) + clause()
        while len(text) < want:
            text += rng.choice(["，", "，", "，", "。", "。", " ", "！", "；", "\u3000", ",", "..."]) + clause()
        if len(text) > 300:
            text = text[:300]
        if text not in out:
            out.append(text)
    assert len(set(out)) == 500 and not any("\n" in s for s in out)
    assert {len(s) for s in out} >= {1, 2, 3, 300} and max(map(len, out)) == 300
    for want in (509, 511, 600, 1020, 1021, 1500):
        text = clause()
        while len(text) < want:
            text += "，" + clause()
        out.append(text)
    return out


def hostile(rng):
    """Byte strings that try the tokenizer; some are not valid UTF-8."""
    out = [
        "", " ", "\t\r\n", "\0", "a\0b", "\ufeff你好", "你\u200b好", "你\u200d好", "👨\u200d👩\u200d👧\u200d👦投诉", "🏳️\u200d🌈", "👍🏽", "1️⃣2️⃣", "🇨🇳🇭🇰",
        "[CLS]", "[SEP] 你好 [MASK]", "[UNK][PAD]", "##的", "a##b", "x" * 100, "x" * 101, "a" * 99 + "z", "好" * 101, "é" * 100, "é" * 101, "e\u0301" * 100, "e\u0301" * 101,
        "Pneumonoultramicroscopicsilicovolcanoconiosis", "unbelievablyunaffordable", "iPhone15ProMax", "IPHONE", "ＩＰＨＯＮＥ １５", "ｱｲﾌｫﾝ", "Ａｐｐ",
        "مرحبا كيف حالك", "مَرْحَبًا", "שָׁלוֹם", "สวัสดีครับ", "नमस्ते", "हिन्दी में", "Здравствуйте", "ЁЖИК й", "Ελληνικά ΣΊΣΥΦΟΣ", "Tiếng Việt", "İstanbul ıI", "Straße ẞ", "ﬁﬂ ﬀ",
        "한국어 문장입니다", "가각", "ひらがな カタカナ が ガ ｶﾞ", "日本語の文章です。", "ㄅㄆㄇ", "龘靐齉", "𠮷野家", "㐀㐁", "豈更車", "〇一二三", "々〆", "⺀⼀", "①②③ ⅣⅫ ½", "㎏ ㏒ ℃ №", "㈱㊣",
        "…… —— · 、。〈〉《》「」『』【】〔〕", "！？（），．：；", "~!@#$%^&*()_+-={}[]|\\:\";'<>?,./`", "¡¿§¶†‡•‰′″‹›※", "€£¥₩₿¢", "+<=>^`|~", "¬¦°±´¸×÷", "←↑→↓⇒∀∂∑√∞≈≠≤≥",
        "a\u0300\u0301\u0302\u0303b", "Z̵̛͓a̷͚l̶g̸o̷", "\u0301", "\u0301\u0301", "的\u0301", "q\u0307\u0323", "ǖǘǚǜ", "Å Å Å", "ñ ñ", "n\u0303o", "Ñandú", "naïve café",
        "\ue000\ue001", "a\ue000b", "\U000f0000x", "\U0010fffd", "\ufffd\ufffd", "\ufffe\uffff", "a\ufdd0b", "\u0378x", "x\u2028y\u2029z", "a\u00a0b", "a\u3000b", "a\u2003b", "a\u1680b", "a\u180eb", "a\u2060b", "a\u00adb", "a\u0085b",
        "\u202e反了\u202c", "\u2066x\u2069", "a\x01\x02\x1f\x7fb", "\x80\x9f".encode("latin-1").decode("latin-1"), "\u061ca", "\U000e0001\U000e0041x", "\ufff9a\ufffa b\ufffb", "a\u034fb", "한\u115f\u1160", "\u3164",
        "🥲🫠🫡🩷🪿🫨", "🤣🤡🧧", "㊙️", "☎️12315", "♀♂☆★○●◎◇◆□■△▲", "ฟรี!!!", "ไทย123", "ខ្មែរ", "မြန်မာ", "ᠮᠣᠩᠭᠣᠯ", "བོད་སྐད", "ئۇيغۇرچە", "ꀀꀁ", "𝔸𝕓𝟙", "𝐁𝐨𝐥𝐝 𝒔𝒄𝒓𝒊𝒑𝒕", "ᏣᎳᎩ", "ꭰ", "Ⓐⓑ", "ǅ ǆ Ǆ",
        "1,234.56", "3.14%", "-5°C", "2024-05-06T07:08:09Z", "A1B2C3D4", "0x7fFF", "user_name", "foo-bar", "foo.bar@baz.com", "don't", "l’été", "rock'n'roll", "C++ / C#", "<b>粗体</b>", "&nbsp;&#20320;", "{\"a\":[1,2]}", "'; DROP TABLE--", "\\u4f60\\n", "%E4%BD%A0",
        "哈" * 3 + "h" * 30, "a b  c   d", " 前后空格 ", "全角　空格", "換行\n換行\r\n換行", "tab\t分隔", "中english混排123数字", "我iPhone的App闪退了", "５Ｇ套餐", "Ｗi-Ｆi",
        "ａ" * 101, "１" * 101, "\u0627" * 101, "😀" * 101, "😀" * 100, "ab" * 50, "ab" * 51, "##" * 10, "-" * 120, "。" * 120,
    ]
    out = [s.encode("utf-8", "surrogatepass") for s in out]
    out += [b"\xff", b"\xc0\x80", b"\xe4\xbd", b"\xe4\xbd\xa0\xe5\xa5", b"a\xffb", b"\xed\xa0\x80x", b"\xf5\x80\x80\x80y", b"\xe4\xbd\xa0\xff\xe5\xa5\xbd", b"\x80\x80\x80z",
            b"\xf0\x9f\x98", b"\xfe\xfe\xff\xff", "编码".encode("gbk"), "投诉abc".encode("gb18030"), "退款".encode("utf-16-le"), "a\u0000b".encode("utf-16-be"), b"ok\xc3", b"\xc3\x28", b"\xa0\xa1", b"\xe2\x28\xa1", b"\xf0\x28\x8c\x28"]
    # Random characters of all planes the reference's tables were made for, and of mixed scripts.
    blocks = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x400), (0x400, 0x530), (0x5D0, 0x5EB), (0x620, 0x660), (0x900, 0x980), (0xE00, 0xE60), (0x1100, 0x1200),
              (0x1E00, 0x2000), (0x2000, 0x2070), (0x20A0, 0x20C0), (0x2190, 0x2600), (0x3000, 0x3100), (0x3400, 0x3440), (0x4E00, 0x9FA6), (0x4E00, 0x9FA6), (0xAC00, 0xD7A4), (0xE000, 0xE100),
              (0xF900, 0xFA6E), (0xFE00, 0xFE70), (0xFF00, 0xFFF0), (0x1F300, 0x1F600), (0x20000, 0x20100), (0, 0x20)]
    while len(out) < 260:
        text = ""
        while len(text) < rng.randrange(2, 60):
            low, high = rng.choice(blocks)
            text += "".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 6)))
        out.append(text.encode())
    return out


def quote(data):
    """A Go string literal."""
    out = ""
    for b in data:
        c = chr(b)
        out += "\\" + c if c in '"\\' else c if 0x20 <= b < 0x7F else f"\\x{b:02x}"
    return f'"{out}"'


def load_tokenizer(path):
    tokenizer = Tokenizer.from_file(path)
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode(session, tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    windows = (len(ids) + WINDOW - 1) // WINDOW
    total = 0
    for w in range(windows):
        part = ids[len(ids) * w // windows : len(ids) * (w + 1) // windows]
        feed = np.array([[101, *part, 102]], dtype=np.int64)
        state = session.run(None, {"input_ids": feed, "attention_mask": np.ones_like(feed),
                                   "token_type_ids": np.zeros_like(feed)})[0][0, 0].astype(np.float64)
        total = total + state / np.linalg.norm(state)
    return ids, total / np.linalg.norm(total)


def main():
    onnx, tokenizer_file, folder = sys.argv[1:]
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    tokenizer = load_tokenizer(tokenizer_file)
    rng = random.Random(20240607)
    texts, odd = sentences(rng), hostile(rng)
    vectors, lines = [], []
    for text in texts:
        ids, vector = encode(session, tokenizer, text)
        assert ids
        vectors.append(vector)
        lines.append(ids)
    for data in odd:
        lines.append(tokenizer.encode(data.decode("utf-8", "replace"), add_special_tokens=False).ids)
    with open(f"{folder}/sentences.txt", "w", encoding="utf-8") as f:
        f.write("".join(s + "\n" for s in texts))
    with open(f"{folder}/hostile.txt", "w", encoding="ascii") as f:
        f.write("".join(quote(s) + "\n" for s in odd))
    with open(f"{folder}/tokens.txt", "w", encoding="ascii") as f:
        f.write("".join(" ".join(map(str, ids)) + "\n" for ids in lines))
    np.array(vectors, dtype="<f2").tofile(f"{folder}/vectors.f16")
    print(len(texts), "texts,", len(odd), "hostile, longest", max(map(len, texts)))


if __name__ == "__main__":
    main()
