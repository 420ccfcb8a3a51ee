//go:build !cgo || !(amd64 || arm64)

package simd

func nativeNames() []string { return nil }

func nativeOps(string) ops { return goOps{} }
