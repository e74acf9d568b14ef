// Records what Quartz itself answers, for test_quartz.py:
//   mvn dependency:copy -Dartifact=org.quartz-scheduler:quartz:2.3.2 -DoutputDirectory=lib
//   java -cp 'lib/*' Record.java < asked.tsv > answered.tsv
// A line that is asked: expression, zone and a moment (ms since 1970), with tabs between them. A line
// that is answered has the next five times after that moment too (`none` where there are no more), or
// `refused`.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Date;
import java.util.TimeZone;
import org.quartz.CronExpression;

public class Record {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null; ) {
            String[] asked = line.split("\t");
            StringBuilder times = new StringBuilder();
            try {
                CronExpression cron = new CronExpression(asked[0]);
                cron.setTimeZone(TimeZone.getTimeZone(asked[1]));
                Date time = new Date(Long.parseLong(asked[2]));
                for (int count = 0; count < 5 && time != null; count++) {
                    time = cron.getNextValidTimeAfter(time);
                    times.append(time == null ? "none" : String.valueOf(time.getTime())).append(' ');
                }
            } catch (java.text.ParseException refused) {
                times.append("refused");
            }
            System.out.println(line + "\t" + times.toString().trim());
        }
    }
}
