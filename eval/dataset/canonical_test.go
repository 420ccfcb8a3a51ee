package dataset

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		// RFC 8785, section 3.2.2, but numbers stay as they are written.
		{
			"rfc8785 values",
			"{\n  \"numbers\": [333333333.33333329, 1E30, 4.50,\n              2e-3, 0.000000000000000000000000001],\n  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n  \"literals\": [null, true, false]\n}",
			`{"literals":[null,true,false],"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		},
		// RFC 8785, section 3.2.3: the order of UTF-16 code units, in which an
		// emoji comes before a letter of the presentation forms.
		{
			"rfc8785 sorting",
			`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`,
			"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}",
		},
		{"nested", `{"b":{"d":[ ],"c":{ }},"a":[1 , {"z":1,"y":"客服"}]}`, `{"a":[1,{"y":"客服","z":1}],"b":{"c":{},"d":[]}}`},
		{"scalars", ` "退款😡\t" `, `"退款😡\t"`},
		{"number", "-0.10e+5", "-0.10e+5"},
		{"control", `"\u0000\u001f\b\f\u007f"`, "\"\\u0000\\u001f\\b\\f\u007f\""},
		{"empty key", `{"":1,"a":2}`, `{"":1,"a":2}`},
		{"line separators stay", `"\u2028"`, "\"\u2028\""},
	} {
		got, err := Canonical([]byte(c.in))
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, string(got), c.name)
	}
}

func TestCanonicalRefuses(t *testing.T) {
	for _, c := range []struct{ in, code, part string }{
		{`{"a":1,"a":2}`, CodeDuplicateKey, `"a"`},
		{`{"x":{"情":1,"\u60c5":2}}`, CodeDuplicateKey, "写了两次"},
		{"{\"a\":\"退\xff款\"}", CodeUTF8, "第 10 个字节"},
		{`"\ud83d"`, CodeUTF8, "代理项"},
		{`"\ud83d\ud83d"`, CodeUTF8, "代理项"},
		{`"\ude00"`, CodeUTF8, "代理项"},
		{"\ufeff{}", CodeBOM, "BOM"},
		{`{"a":1`, CodeJSON, "还没写完"},
		{`{"a":1,}`, CodeJSON, "第 8 个字节"},
		{"{\"a\":\"\x00\"}", CodeJSON, "字节"},
		{"", CodeJSON, ""},
		{`{} {}`, CodeJSON, ""},
		{"NaN", CodeJSON, ""},
	} {
		_, err := Canonical([]byte(c.in))
		var row *RowError
		require.ErrorAs(t, err, &row, c.in)
		require.Equal(t, c.code, row.Code, c.in)
		require.Contains(t, row.Message, c.part, c.in)
	}
}

func TestHash(t *testing.T) {
	a, err := Hash([]byte(`{"id":"a","n":1}`))
	require.NoError(t, err)
	b, err := Hash([]byte("{ \"n\" : 1,\"id\":\"\\u0061\" }"))
	require.NoError(t, err)
	require.Equal(t, a, b)
	require.Equal(t, "ebddcace15c56ac9ac7a5499fffba4dece33724d7e2ad7ff5bdd262a10e643ef", a)
	c, err := Hash([]byte(`{"id":"a","n":1.0}`))
	require.NoError(t, err)
	require.NotEqual(t, a, c, "a number is what was written")
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{
		`{"b":1,"a":[true,null,{"d":"\u0001","c":-1.5e3}]}`, `{"a":1,"a":2}`, `"\ud83d\ude00"`, `[[[]]]`, "\ufeff{}", "\xff", `{"":{"":{}}}`, "",
		`{"\ue000":1,"\ud83d\ude00":2}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := Canonical(src)
		if err != nil {
			return
		}
		again, err := Canonical(got)
		require.NoError(t, err)
		require.Equal(t, string(got), string(again))
		decode := func(b []byte) (v any) {
			d := json.NewDecoder(bytes.NewReader(b))
			d.UseNumber()
			require.NoError(t, d.Decode(&v))
			return v
		}
		require.Equal(t, decode(src), decode(got))
	})
}
