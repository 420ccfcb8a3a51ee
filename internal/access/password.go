package access

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/qingting-ai/qingting"
)

// Cost of a password, after the second choice of the OWASP Password Storage
// Cheat Sheet: argon2id with 19 MiB, two passes, one lane.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
	argonLanes  = 1
	saltLength  = 16 // bytes
	hashLength  = 32 // bytes
)

// Bounds of a password, in characters.
const (
	MinPassword = 12
	MaxPassword = 128
)

// CheckPassword refuses what is too short, too long or the login itself.
func CheckPassword(login, password string) error {
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password) || n < MinPassword || n > MaxPassword:
		return &qingting.InputError{Code: "weak_password", Where: "password", Message: fmt.Sprintf("密码应当有 %d 到 %d 个字符", MinPassword, MaxPassword)}
	case strings.Trim(password, string([]rune(password)[:1])) == "" || login != "" && strings.Contains(strings.ToLower(password), strings.ToLower(login)) && n < len(login)+8:
		return &qingting.InputError{Code: "weak_password", Where: "password", Message: "密码太容易猜到，不要用登录名或同一个字符重复"}
	}
	return nil
}

// HashPassword returns the PHC form of a password with a fresh salt.
func HashPassword(password string) string {
	salt := make([]byte, saltLength)
	rand.Read(salt) // never fails
	hash := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonLanes, hashLength)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(hash))
}

var errHash = errors.New("access: not an argon2id hash")

// matchPassword compares in constant time. The parameters are those of the
// hash, within bounds, so that the cost can be raised later.
func matchPassword(hash, password string) (bool, error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errHash
	}
	var version, memory, time uint32
	var lanes uint8
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &time, &lanes); err != nil || memory > 1<<20 || time == 0 || time > 16 || lanes == 0 {
		return false, errHash
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(want) == 0 || len(want) > 64 {
		return false, errHash
	}
	got := argon2.IDKey([]byte(password), salt, time, memory, lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}
