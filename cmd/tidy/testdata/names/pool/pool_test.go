package pool

func Exported() {}

func init() {}
