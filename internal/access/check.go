package access

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
)

func checkName(field, s string, most int) error {
	n := utf8.RuneCountInString(s)
	if strings.TrimSpace(s) == "" || n > most || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return &qingting.InputError{Code: "bad_" + field, Where: field, Message: fmt.Sprintf("应当有 1 到 %d 个字，不能有控制字符", most)}
	}
	return nil
}

// CheckUser refuses a user that breaks a rule; the error is an
// *qingting.InputError.
func CheckUser(u *User) error {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{1,63}$`).MatchString(u.Login) {
		return &qingting.InputError{Code: "bad_login", Where: "login", Message: "登录名用 2 到 64 个小写字母、数字和 . _ @ -，以字母或数字开头"}
	}
	if !slices.Contains(Roles(), u.Role) {
		return &qingting.InputError{Code: "bad_role", Where: "role", Message: "角色只能是 agent、supervisor、engineer 或 admin"}
	}
	return checkName("name", u.Name, 64)
}

// CheckKey refuses a key that breaks a rule; the error is an
// *qingting.InputError.
func CheckKey(k *Key) error {
	if len(k.Scopes) == 0 {
		return &qingting.InputError{Code: "bad_scopes", Where: "scopes", Message: "至少给一个用途：ingest、assist、supervise、cases、eval 或 admin"}
	}
	for i, s := range k.Scopes {
		if !slices.Contains(Scopes(), s) || slices.Contains(k.Scopes[:i], s) {
			return &qingting.InputError{Code: "bad_scopes", Where: "scopes", Message: "用途只能是 ingest、assist、supervise、cases、eval 或 admin，每个一次"}
		}
	}
	if k.Team != "" && slices.Contains(k.Scopes, ScopeAdmin) {
		// Users, keys and endpoints belong to no team, so that a team would
		// promise a limit that does not hold.
		return &qingting.InputError{Code: "bad_team", Where: "team", Message: "admin 用途管理整个租户，不能限定团队；请去掉 team，或换成别的用途"}
	}
	return checkName("name", k.Name, 64)
}
