// Links a whole library: an undeclared dependency is an unresolved symbol here.
int main() { return 0; }
