# Start with: twistd --nodaemon --python conf/fe-mail.tac
# FE_MAIL_DIRECTORY names the directory that holds .env, sqlite-data/ and ssl/.
from fe_mail.app.tap import application as make_application

application = make_application()
