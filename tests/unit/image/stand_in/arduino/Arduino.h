// What the sketch calls of Arduino, and the main that calls the sketch once.
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

struct SerialPort {
    void begin(unsigned long) {}
    explicit operator bool() const { return true; }
    __attribute__((format(printf, 2, 3))) void printf(const char *format, ...)
    {
        va_list list;
        va_start(list, format);
        vprintf(format, list);
        va_end(list);
    }
};
static SerialPort Serial;

void setup();
void loop();

int main()
{
    setup();
    loop();
    return 0;
}
